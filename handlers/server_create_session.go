package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// createSession signs in by handle, DID or address, with the main password or an app password. A deactivated account may; a taken-down one gets, when asked for
// with allowTakendown, a token that is good for appealing and leaving, and that cannot be refreshed.
// spec: lexicon com.atproto.server.createSession
func (m serverMethods) createSession(ctx context.Context, v visitor, in *serverCreateSessionInput) (*serverCreateSessionOutput, error) {
	t := m.db.Tenant(v.Tenant.Schema)
	secrets, err := m.sessions.Secrets(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	attempt, err := m.guard.enter(ctx, v, in.Body.Identifier)
	if err != nil {
		return nil, err
	}
	a, app, err := m.passwords.SignIn(ctx, v.path(), t.Q(), secrets.Typed(), in.Body.Identifier, in.Body.Password)
	proven := false
	if err == nil && app == nil {
		proven, err = m.secondFactor(ctx, v, secrets, a, in.Body.AuthFactorToken, mail.KindSignIn)
	}
	if err := attempt.leave(ctx, err); err != nil {
		return nil, err
	}
	scope := appScope(app)
	if a.TakenDown {
		if in.Body.AllowTakendown == nil || !*in.Body.AllowTakendown {
			return nil, auth.ErrAccountTakedown
		}
		scope = auth.ScopeTakendown
	}
	if scope == auth.ScopeAccess {
		if scope, err = m.fullScope(ctx, t.Q(), a); err != nil {
			return nil, err
		}
	}
	token, epochs := m.sessions.NewRefresh(), a.Epochs
	if scope != auth.ScopeTakendown {
		err := t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
			if epochs, err = auth.Hold(ctx, q, a.DID); errors.Is(err, auth.ErrRevoked) {
				return accounts.ErrCredentials // deleted by now
			}
			if err != nil {
				return err
			}
			var name *string
			if epochs.Session != a.Epochs.Session {
				if err := m.stillOpens(ctx, q, a, app); err != nil {
					return err
				}
			}
			if app != nil {
				token = token.Until(app.ExpiresAt)
				name = &app.Name
				if err := accounts.UseAppPassword(ctx, q, secrets.Typed(), m.now(), a.AID, app.Name, in.Body.Password); err != nil {
					return err
				}
			}
			return auth.InsertRefresh(ctx, q, m.now(), a.AID, token, name)
		})
		if err != nil {
			return nil, err
		}
	}
	mint := m.sessions.Mint
	if proven {
		mint = m.sessions.MintProven
	}
	pair, err := mint(v.Tenant, secrets, scope, a.DID, epochs, token)
	if err != nil {
		return nil, err
	}
	info := m.sessionInfo(ctx, v.Tenant, a)
	return &serverCreateSessionOutput{Body: serverCreateSessionOutputBody{
		AccessJwt: pair.Access, RefreshJwt: pair.Refresh,
		DID: DID(a.DID), Handle: info.Handle, DIDDoc: info.DIDDoc,
		Email: a.Email, EmailConfirmed: &a.EmailConfirmed, EmailAuthFactor: &a.EmailFactor, Active: &info.Active, Status: info.Status,
	}}, nil
}

// stillOpens is asked when sessions of the account were ended while it signed in: the main password may be another by
// now; an app password is the same, but opens nothing of an account that is taken down.
func (m serverMethods) stillOpens(ctx context.Context, q *tenantdb.Queries, a *accounts.Account, app *accounts.AppPassword) error {
	if app == nil {
		return accounts.ErrCredentials
	}
	now, err := accounts.ByDID(ctx, q, a.DID)
	if errors.Is(err, accounts.ErrNotFound) || err == nil && now.TakenDown {
		return accounts.ErrCredentials
	}
	return err
}

// appScope is what a session may do that began with an app password, or with the main one (nil).
func appScope(app *accounts.AppPassword) auth.Scope {
	switch {
	case app == nil:
		return auth.ScopeAccess
	case app.Privileged:
		return auth.ScopeAppPassPrivileged
	}
	return auth.ScopeAppPass
}

// fullScope is what the main password's session may do: next to nothing while the sign-up waits for approval.
func (m serverMethods) fullScope(ctx context.Context, q *tenantdb.Queries, a *accounts.Account) (auth.Scope, error) {
	if !a.Deactivated {
		return auth.ScopeAccess, nil
	}
	err := accounts.NotAwaiting(ctx, q, a.AID)
	if errors.Is(err, accounts.ErrAwaiting) {
		return auth.ScopeSignupQueued, nil
	}
	return auth.ScopeAccess, err
}

// secondFactor asks for what the account wants beside its main password. Without a code one is mailed, unless an
// authenticator app shows one; kind says what for. shown: there was a code, and it was right.
func (m serverMethods) secondFactor(ctx context.Context, v visitor, secrets *auth.Secrets, a *accounts.Account, code string, kind mail.Kind) (shown bool, err error) {
	t := m.db.Tenant(v.Tenant.Schema)
	factors, err := accounts.SecondFactors(ctx, t.Q(), a.AID)
	switch {
	case err != nil || !factors.Any():
		return false, err
	case code != "":
		guessed, err := m.guard.guess(ctx, v, a.DID, factors, code)
		if err != nil {
			return false, err
		}
		err = t.Tx(ctx, func(q *tenantdb.Queries) error {
			return accounts.UseFactor(ctx, q, m.keys, secrets.Typed(), v.Tenant.Schema, m.now(), a.AID, factors, code)
		})
		if err != nil {
			return false, err
		}
		return true, guessed(ctx)
	case factors.App:
		return false, accounts.ErrFactorApp
	}
	if m.guard.mayMail(v, a.DID, codeMails...) {
		_, err = m.mail.sendAs(ctx, v, accounts.TokenSignIn, kind, func(*tenantdb.Queries) (*accounts.Account, error) { return a, nil })
		if err != nil {
			return false, err
		}
	}
	return false, accounts.ErrFactorMailed
}

// sessionInfo is what the three session answers say of an account beside its address.
type sessionInfo struct {
	Handle Handle
	DIDDoc RawJSON
	Active bool
	Status string
}

func (m serverMethods) sessionInfo(ctx context.Context, t *tenant.Tenant, a *accounts.Account) sessionInfo {
	info := sessionInfo{Handle: shownHandle(a.Handle), Active: a.Active(), Status: a.Status()}
	if t.Settings.SessionDIDDoc {
		info.DIDDoc = m.didDoc(ctx, t, a.DID)
	}
	return info
}

// didDoc is the DID document as JSON, nothing when the directory does not answer: a session does not fail for it.
func (m serverMethods) didDoc(ctx context.Context, t *tenant.Tenant, did string) RawJSON {
	doc, err := m.documents.Resolve(ctx, ownAsker(t), did)
	if err != nil {
		m.log.Warn("session without DID document", "did", did, "err", err)
		return nil
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		m.log.Warn("session without DID document", "did", did, "err", err)
		return nil
	}
	return text
}

// invalidHandle is what an account shows that has no handle which is its own.
// spec: handle#additional-non-syntax-restrictions
const invalidHandle = "handle.invalid"

func shownHandle(handle string) Handle {
	if handle == "" {
		return invalidHandle
	}
	return Handle(handle)
}

package act

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// Credentials are what somebody shows to be signed in.
type Credentials struct {
	Identifier string // handle, DID or address
	Password   string // the main one, or that of an app
	Code       string // of a second factor; "": none was asked for yet
	// Takendown asks to be let in also when the account is taken down: to appeal and to leave.
	Takendown bool
	// Trust asks for no second factor in this browser for [accounts.TrustTime], where one is shown now.
	Trust bool
}

// Session is a session that was begun, or goes on.
type Session struct {
	Account *accounts.Account
	auth.Pair
}

// shown is an account whose owner has proved to be it.
type shown struct {
	who    *accounts.Account
	app    *accounts.AppPassword // nil: by the main password
	factor bool                  // a code was shown, and it was right
}

// SignIn begins a session, by the main password or an app password. Who signs in by the main password of an account with
// a second factor hears of it by [accounts.ErrFactorApp] or, after a code was mailed, by [accounts.ErrFactorMailed], and
// comes again with the code. A deactivated account may sign in. One that is taken down gets, when asked for, a session
// that is good for appealing and leaving, and that cannot be refreshed.
// Errors: [WaitError], [accounts.ErrCredentials], [accounts.ErrPasswordTooLong], [accounts.ErrBusy],
// [accounts.ErrOAuthOnly], [accounts.ErrFactorApp], [accounts.ErrFactorMailed], [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired],
// [auth.ErrAccountTakedown].
func (a *Acts) SignIn(ctx context.Context, t *tenant.Tenant, v Visitor, c Credentials) (Session, error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return Session{}, err
	}
	s, err := a.show(ctx, t, v, secrets, c, true)
	if err != nil {
		return Session{}, err
	}
	scope := appScope(s.app)
	if s.who.TakenDown {
		if !c.Takendown {
			return Session{}, auth.ErrAccountTakedown
		}
		scope = auth.ScopeTakendown
	}
	if scope == auth.ScopeAccess {
		if scope, err = fullScope(ctx, a.DB.Tenant(t.Schema).Q(), s.who); err != nil {
			return Session{}, err
		}
	}
	token, epochs := a.Sessions.NewRefresh(), s.who.Epochs
	if scope != auth.ScopeTakendown {
		if epochs, token, err = a.begin(ctx, t, v, secrets, s, c.Password, token); err != nil {
			return Session{}, err
		}
	}
	mint := a.Sessions.Mint
	if s.factor {
		mint = a.Sessions.MintProven
	}
	pair, err := mint(t, secrets, scope, s.who.DID, epochs, token)
	return Session{s.who, pair}, err
}

// show holds credentials against the account that they name, at the pace that the guard allows. app: it is an app that has
// them, and not a page of ours. It is refused before a code is asked for, or it would ask its user for one in vain.
func (a *Acts) show(ctx context.Context, t *tenant.Tenant, v Visitor, secrets *auth.Secrets, c Credentials, app bool) (s shown, err error) {
	try, err := a.enter(ctx, t, v, c.Identifier)
	if err != nil {
		return s, err
	}
	s.who, s.app, err = a.Passwords.SignIn(ctx, v.From, a.DB.Tenant(t.Schema).Q(), secrets.Typed(), c.Identifier, c.Password)
	if err == nil && app && s.app == nil && s.who.OAuthOnly {
		return s, try.leave(ctx, accounts.ErrOAuthOnly)
	}
	if err == nil && s.app == nil {
		s.factor, err = a.secondFactor(ctx, t, v, secrets, s.who, c.Code, mail.KindSignIn)
	}
	return s, try.leave(ctx, err)
}

// begin stores the first refresh token of a session, unless what was shown opens nothing by now.
func (a *Acts) begin(ctx context.Context, t *tenant.Tenant, v Visitor, secrets *auth.Secrets, s shown, password string, token auth.RefreshRow) (epochs accounts.Epochs, row auth.RefreshRow, err error) {
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		row = token
		if epochs, err = auth.Hold(ctx, q, s.who.DID); errors.Is(err, auth.ErrRevoked) {
			return accounts.ErrCredentials // deleted by now
		}
		if err != nil {
			return err
		}
		if epochs.Session != s.who.Epochs.Session {
			if err := stillOpens(ctx, q, s); err != nil {
				return err
			}
		}
		var name *string
		if s.app != nil {
			row = token.Until(s.app.ExpiresAt)
			name = &s.app.Name
			if err := accounts.UseAppPassword(ctx, q, secrets.Typed(), a.Now(), s.who.AID, s.app.Name, password); err != nil {
				return err
			}
		}
		if err := auth.InsertRefresh(ctx, q, a.Now(), s.who.AID, row, name); err != nil {
			return err
		}
		if s.app != nil {
			return a.signedIn(ctx, q, t, v, s.who, accounts.ViaApp, s.app.Name)
		}
		return a.signedIn(ctx, q, t, v, s.who, accounts.ViaAPI, "")
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return epochs, row, err
}

// stillOpens is asked when sessions of the account were ended while it signed in: the main password may be another by
// now; an app password is the same, but opens nothing of an account that is taken down.
func stillOpens(ctx context.Context, q *tenantdb.Queries, s shown) error {
	if s.app == nil {
		return accounts.ErrCredentials
	}
	now, err := accounts.ByDID(ctx, q, s.who.DID)
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
func fullScope(ctx context.Context, q *tenantdb.Queries, who *accounts.Account) (auth.Scope, error) {
	if !who.Deactivated {
		return auth.ScopeAccess, nil
	}
	err := accounts.NotAwaiting(ctx, q, who.AID)
	if errors.Is(err, accounts.ErrAwaiting) {
		return auth.ScopeSignupQueued, nil
	}
	return auth.ScopeAccess, err
}

// secondFactor asks for what the account wants beside its main password. Without a code one is mailed, unless an
// authenticator app shows one; kind says what for. A browser that the owner trusts needs none to sign in. right: there was
// a code, and it was the right one.
func (a *Acts) secondFactor(ctx context.Context, t *tenant.Tenant, v Visitor, secrets *auth.Secrets, who *accounts.Account, code string, kind mail.Kind) (right bool, err error) {
	tdb := a.DB.Tenant(t.Schema)
	factors, err := accounts.SecondFactors(ctx, tdb.Q(), who.AID)
	trusted := false
	if err == nil && factors.Any() && code == "" && kind == mail.KindSignIn {
		trusted, err = accounts.Trusts(ctx, tdb.Q(), a.Now(), who.AID, v.device)
	}
	switch {
	case err != nil || !factors.Any() || trusted:
		return false, err
	case code != "":
		guessed, err := a.guess(ctx, t, v, who.DID, factors, code)
		if err != nil {
			return false, err
		}
		err = tdb.Tx(ctx, func(q *tenantdb.Queries) error {
			return accounts.UseFactor(ctx, q, a.Keys, secrets.Typed(), t.Schema, a.Now(), who.AID, factors, code)
		})
		if err != nil {
			return false, err
		}
		return true, guessed(ctx)
	case factors.App:
		return false, accounts.ErrFactorApp
	}
	if a.mayMail(t, v, who.DID, CodeMails...) {
		_, err = a.mailToken(ctx, t, v.Language, accounts.TokenSignIn, kind, func(*tenantdb.Queries) (*accounts.Account, error) { return who, nil })
		if err != nil {
			return false, err
		}
	}
	return false, accounts.ErrFactorMailed
}

// Refresh goes on with a session. It rotates: the token given is good for two more hours, in which it always gives the
// same next one. Errors: [auth.ErrRevoked], [auth.ErrAccountNotFound], [auth.ErrAccountTakedown].
func (a *Acts) Refresh(ctx context.Context, t *tenant.Tenant, token auth.Refresh) (Session, error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return Session{}, err
	}
	tdb := a.DB.Tenant(t.Schema)
	fresh := a.Sessions.NewRefresh()
	var on rotated
	rotate := func() error {
		return tdb.Tx(ctx, func(q *tenantdb.Queries) (err error) {
			on, err = a.rotate(ctx, q, token, fresh)
			return err
		})
	}
	err = rotate()
	if errors.Is(err, db.ErrUnknownOutcome) {
		// If it did happen, the grace gives the same next token, which has to be durable before it is given out.
		if err = rotate(); err == nil {
			err = tdb.Confirm(ctx)
		}
	}
	if err != nil {
		return Session{}, err
	}
	if on.next.AID != on.who.AID { // the row is the truth; a token never changes hands
		return Session{}, auth.ErrRevoked
	}
	pair, err := a.Sessions.Mint(t, secrets, on.scope, on.who.DID, on.epochs, on.next.Next)
	return Session{on.who, pair}, err
}

// rotated is what a session goes on with.
type rotated struct {
	who    *accounts.Account
	epochs accounts.Epochs
	scope  auth.Scope
	next   auth.Rotated
}

// rotate uses a refresh token, inside the transaction of [Acts.Refresh].
func (a *Acts) rotate(ctx context.Context, q *tenantdb.Queries, token auth.Refresh, fresh auth.RefreshRow) (on rotated, err error) {
	if on.epochs, err = auth.Hold(ctx, q, token.DID); err != nil {
		return on, err
	}
	if on.who, err = accounts.ByDID(ctx, q, token.DID); err != nil {
		return on, ended(err)
	}
	if on.who.TakenDown {
		return on, auth.ErrAccountTakedown // said before anything of the token: its row went with the takedown
	}
	if on.next, err = auth.Rotate(ctx, q, a.Now(), token.TokenID, fresh); err != nil {
		return on, err
	}
	if on.next.AppPassword == nil {
		on.scope, err = fullScope(ctx, q, on.who)
		return on, err
	}
	app, err := accounts.SeeAppPassword(ctx, q, a.Now(), on.next.AID, *on.next.AppPassword)
	if errors.Is(err, accounts.ErrNotFound) {
		return on, auth.ErrRevoked
	}
	on.scope = appScope(&app)
	on.next.Next = on.next.Next.Until(app.ExpiresAt)
	return on, err
}

// SignOut ends a session. Doing it twice, or with a token past its time, is no error.
func (a *Acts) SignOut(ctx context.Context, t *tenant.Tenant, token auth.Refresh) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return auth.Revoke(ctx, q, token.TokenID)
	})
}

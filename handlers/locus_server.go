package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
)

// locusServerMethods are org.auroralocus.server.*: what an account does here that com.atproto has no methods for.
type locusServerMethods struct {
	server serverMethods
	now    func() time.Time
}

func (m locusServerMethods) register(g *group) {
	const own = auth.Full | auth.NoTakedown
	account(g, query("org.auroralocus.server.getSecondFactor").takes(own), noOAuth, m.getSecondFactor)
	account(g, procedure("org.auroralocus.server.beginAuthenticator").takes(own).noting("main password and code"), noOAuth, m.beginAuthenticator)
	account(g, procedure("org.auroralocus.server.confirmAuthenticator").takes(own).noting("code of the new app"), noOAuth, m.confirmAuthenticator)
	account(g, procedure("org.auroralocus.server.disableAuthenticator").takes(own).noting("main password and code"), noOAuth, m.disableAuthenticator)
	account(g, procedure("org.auroralocus.server.createBackupCodes").takes(own).noting("main password and code"), noOAuth, m.createBackupCodes)
	account(g, procedure("org.auroralocus.server.confirmSession").takes(own).noting("main password and code"), noOAuth, m.confirmSession)
	account(g, procedure("org.auroralocus.server.setEmailFactor").takes(own).noting("main password and code"), noOAuth, m.setEmailFactor)
	account(g, query("org.auroralocus.server.getUsage").takes(auth.Std), anyOAuth, m.getUsage)
}

// protection is a change of how an account is protected, on its way through its transaction.
type protection struct {
	methods locusServerMethods
	caller  accountCaller
	secrets *auth.Secrets
	account *accounts.Account
	q       *tenantdb.Queries
}

// proof is what a change asks for beside the session.
type proof struct {
	password string // the main one
	code     string // of a second factor, when one is on
}

// protect runs change in a transaction once the caller has proved who it is, as at a sign-in: adding a factor is opening
// another way in, so that too takes a code of one that is on. Wrong passwords and codes count as refused sign-ins do. A
// code is used up by the change, or not at all. A nil proof asks for nothing: the change itself checks a code.
func (m locusServerMethods) protect(ctx context.Context, c accountCaller, by *proof, change func(context.Context, protection) error) error {
	t := m.server.db.Tenant(c.Tenant.Schema)
	secrets, err := m.server.sessions.Secrets(ctx, c.Tenant)
	if err != nil {
		return err
	}
	attempt, err := m.server.guard.enter(ctx, c.visitor, c.DID)
	if err != nil {
		return err
	}
	guessed := func(context.Context) error { return nil }
	run := func() error {
		if by != nil {
			a, err := m.server.passwords.Authenticate(ctx, c.path(), t.Q(), c.DID, by.password)
			if err != nil {
				return err
			}
			if by.code == "" {
				// It mails a code, if that is the factor, and asks for one in any case.
				if _, err := m.server.secondFactor(ctx, c.visitor, secrets, a, "", mail.KindFactorChange); err != nil {
					return err
				}
			} else if factors, err := secondFactors(ctx, t.Q(), a.AID); err != nil {
				return err
			} else if guessed, err = m.server.guard.guess(ctx, c.visitor, a.DID, factors, by.code); err != nil {
				return err
			}
		}
		return t.Tx(ctx, func(q *tenantdb.Queries) error {
			a, err := ownAccount(ctx, q, c)
			if err != nil {
				return err
			}
			if by != nil {
				factors, err := secondFactors(ctx, q, a.AID)
				if err == nil && factors.Any() {
					err = accounts.UseFactor(ctx, q, m.server.keys, secrets.Typed(), c.Tenant.Schema, m.now(), a.AID, factors, by.code)
				}
				if err != nil {
					return err
				}
			}
			return change(ctx, protection{m, c, secrets, a, q})
		})
	}
	if err = run(); err == nil {
		err = guessed(ctx)
	}
	err = attempt.leave(ctx, err)
	if errors.Is(err, accounts.ErrCredentials) || errors.Is(err, accounts.ErrPasswordTooLong) {
		// Not 401: the session is good, and clients end it on that.
		return refuse(http.StatusBadRequest, "WrongPassword", "The password is another one")
	}
	if err == nil {
		m.server.mail.outbox.Wake(c.Tenant)
	}
	return err
}

// tell writes the change down and queues a notice to the account's owner, in the change's transaction: if somebody else
// did this, mail is how it comes out.
func (p protection) tell(ctx context.Context, notice mail.Kind) error {
	m, c := p.methods, p.caller
	e := audit.Entry{
		At: m.now().UTC(), Who: c.DID, Action: c.method(), Subject: c.DID, Address: c.Addr().String(), RequestID: c.requestID(), Outcome: audit.Done,
	}
	if err := audit.Insert(ctx, p.q, e, 0, map[string]string{"change": string(notice)}); err != nil {
		return err
	}
	if p.account.Email == "" {
		return nil
	}
	note := mail.Note{Kind: notice, Lang: language(c.visitor), Handle: p.account.Handle}
	return m.server.mail.outbox.Put(ctx, p.q, c.Tenant, p.account.AID, p.account.Email, note, noticeLife)
}

// noticeLife is how long a notice is worth sending: a mail server may be down for days.
const noticeLife = 7 * 24 * time.Hour

package handlers

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// signupTime bounds a sign-up once rows of it exist. It must stay below accounts.StaleAfter: older leftovers are
// somebody else's to take over.
const signupTime = time.Minute

// createAccount makes an account with a new did:plc, its repository and its first session.
//
// Two transactions stand around the PLC directory's answer: until the second one nobody sees the account, and whatever
// fails is taken back, the DID included. A crash in between leaves rows that a sweep removes.
// spec: lexicon com.atproto.server.createAccount
func (m serverMethods) createAccount(ctx context.Context, v visitor, in *serverCreateAccountInput) (*serverCreateAccountOutput, error) {
	switch {
	case in.Body.PlcOp != nil:
		return nil, invalid("Unsupported input: plcOp")
	case in.Body.DID != "":
		return m.createMovedAccount(ctx, v, &in.Body)
	}
	if byOperator(ctx) {
		open := *v.Tenant
		open.Settings.Signup = tenant.SignupOpen
		v.Tenant = &open
	}
	s, err := m.newSignup(ctx, v.Tenant, &in.Body)
	if err != nil {
		return nil, err
	}
	secrets, err := m.sessions.Secrets(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	rotation, err := m.tenants.RotationSigner(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	if err := s.Mint(m.keys, rotation); err != nil {
		return nil, err
	}
	t := m.db.Tenant(v.Tenant.Schema)
	// A statement of its own: it locks the tenant's hot row, and a gap in the numbers is harmless.
	if s.AID, err = t.Q().LockNextAID(ctx); err != nil {
		return nil, fmt.Errorf("take an account number: %w", err)
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()

	refresh, scope := m.sessions.NewRefresh(), auth.ScopeAccess
	if v.Tenant.Settings.Signup == tenant.SignupApproval {
		scope = auth.ScopeSignupQueued
		err = m.queueSignUp(ctx, v.Tenant, s, v.language(), refresh)
	} else {
		err = m.signUp(ctx, v.Tenant, s, rotation, refresh)
	}
	if err != nil {
		return nil, err
	}
	m.actors.Forget(v.Tenant.Schema, s.DID)
	pair, err := m.sessions.Mint(v.Tenant, secrets, scope, s.DID, s.Epochs(), refresh)
	if err != nil {
		return nil, err
	}
	return &serverCreateAccountOutput{Body: serverCreateAccountOutputBody{
		AccessJwt: pair.Access, RefreshJwt: pair.Refresh, Handle: Handle(s.Handle), DID: DID(s.DID), DIDDoc: m.newDoc(ctx, scope, s.DID),
	}}, nil
}

type operatorKey struct{}

// ByOperator makes a request's createAccount an operator's act, which no sign-up policy stands against. Requests from the
// network never have such a context.
func ByOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

func byOperator(ctx context.Context) bool { return ctx.Value(operatorKey{}) != nil }

// newSignup makes every check that costs little, and then hashes the password.
func (m serverMethods) newSignup(ctx context.Context, t *tenant.Tenant, in *serverCreateAccountInputBody) (*accounts.Signup, error) {
	req := accounts.Request{Handle: string(in.Handle), Email: in.Email, InviteCode: in.InviteCode, RecoveryKey: in.RecoveryKey, DID: string(in.DID)}
	if in.Password != "" {
		req.Password = &in.Password
	}
	s, err := accounts.NewSignup(t, req, m.now())
	if err != nil {
		return nil, err
	}
	if taken, err := m.tenants.NameTaken(ctx, s.Handle); err != nil {
		return nil, err
	} else if taken {
		return nil, identity.ErrHandleReserved // it leads to a tenant
	}
	if err := s.CheckFree(ctx, m.db.Tenant(t.Schema).Q()); err != nil {
		return nil, err
	}
	if req.Password != nil {
		if s.PasswordHash, err = m.passwords.Hash(ctx, *req.Password); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// signUp is the part that leaves traces.
func (m serverMethods) signUp(ctx context.Context, tn *tenant.Tenant, s *accounts.Signup, rotation identity.Signer, refresh auth.RefreshRow) error {
	t := m.db.Tenant(tn.Schema)
	var first *repo.Commit
	submitted := false
	err := t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		if err := s.Begin(ctx, q, m.keys); err != nil {
			return err
		}
		first, err = repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, m.now())
		return err
	})
	if err == nil {
		submitted = true
		err = m.directory.Submit(ctx, s.DID, s.Genesis)
	}
	var lastSeq int64
	if err == nil {
		err = t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
			if err := s.Finish(ctx, q); err != nil {
				return err
			}
			if err := auth.InsertRefresh(ctx, q, s.CreatedAt, s.AID, refresh, nil); err != nil {
				return err
			}
			now := m.now()
			lastSeq, err = firehose.Append(ctx, q,
				firehose.NewIdentity(s.AID, s.DID, s.Handle, now),
				firehose.NewAccount(s.AID, s.DID, true, "", now),
				firehose.NewCommit(s.AID, first, now),
				firehose.NewSync(s.AID, s.DID, first.Head.Rev, first.Head.CID, first.Block, now))
			return err
		})
	}
	if err == nil {
		// Committed: the account is there and subscribers will see it.
		m.hub.Notify(tn.Schema, lastSeq)
	}
	if err != nil {
		if finished := m.undo(ctx, t, s, submitted, rotation); finished {
			err = nil // the second transaction did happen, only its answer was lost
		}
	}
	return err
}

// undo takes back what a failed sign-up may have left. finished says that it did not fail after all.
func (m serverMethods) undo(ctx context.Context, t *db.Tenant, s *accounts.Signup, submitted bool, rotation identity.Signer) (finished bool) {
	err := t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		finished, err = s.Undo(ctx, q)
		return err
	})
	if err != nil {
		// The rows stay unseen and are swept; the DID is ended then.
		m.log.Error("sign-up could not be taken back", "did", s.DID, "err", err)
		return false
	}
	if finished || !submitted {
		return finished
	}
	end, err := s.Tombstone(rotation)
	if err == nil {
		err = m.directory.Submit(ctx, s.DID, end)
	}
	if err != nil {
		m.log.Error("the DID of a failed sign-up could not be ended", "did", s.DID, "err", err)
	}
	return false
}

// newDoc is the new DID's document; there is none yet while a sign-up waits for approval.
func (m serverMethods) newDoc(ctx context.Context, scope auth.Scope, did string) RawJSON {
	if scope == auth.ScopeSignupQueued {
		return nil
	}
	return m.didDoc(ctx, did)
}

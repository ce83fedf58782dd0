package act

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/internal/fair"

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

const actCreate = "account create"

// Arrival is a new account with its first session.
type Arrival struct {
	DID, Handle string
	Session     auth.Pair
	Queued      bool // it waits for approval, and its session sees nothing else
}

// SignUp makes an account with a new did:plc, its repository and its first session, or, where sign-ups are approved, one
// that waits. Errors: those of [accounts.NewSignup], [accounts.Signup] and the DID's
// directory, [identity.ErrHandleReserved], [accounts.ErrBusy].
func (a *Acts) SignUp(ctx context.Context, t *tenant.Tenant, v Visitor, req accounts.Request) (Arrival, error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return Arrival{}, err
	}
	s, rotation, err := a.mint(ctx, t, v.From, req)
	if err != nil {
		return Arrival{}, err
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()
	first := a.Sessions.NewRefresh()
	session := func(q *tenantdb.Queries) error { return auth.InsertRefresh(ctx, q, s.CreatedAt, s.AID, first, nil) }
	scope := auth.ScopeAccess
	if t.Settings.Signup == tenant.SignupApproval {
		scope = auth.ScopeSignupQueued
		err = a.enqueue(ctx, t, s, v.Language, session)
	} else {
		err = a.open(ctx, t, s, rotation, session)
	}
	if err != nil {
		return Arrival{}, err
	}
	return a.arrived(t, secrets, s, scope, first)
}

// CreateAccount makes an account as an operator wishes, whatever the sign-up policy: no invite code, no approval. It has
// no session. Errors: those of [Acts.SignUp].
func (a *Acts) CreateAccount(ctx context.Context, t *tenant.Tenant, by Operator, req accounts.Request) (did, handle string, err error) {
	open := *t
	open.Settings.Signup = tenant.SignupOpen
	s, rotation, err := a.mint(ctx, &open, by.from(t), req)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()
	err = a.open(ctx, t, s, rotation, func(q *tenantdb.Queries) error {
		return a.record(ctx, q, by, actCreate, deed{s.DID, map[string]any{"handle": s.Handle}})
	})
	if err != nil {
		return "", "", err
	}
	a.Actors.Forget(t.Schema, s.DID)
	return s.DID, s.Handle, nil
}

// MoveIn makes an account with a DID of the caller's own, proven by a service token that the DID's key signed. The
// account is deactivated until its document leads here, nothing is sent to any directory, and the firehose says nothing:
// the DID may still live elsewhere. One transaction makes all of it. Where sign-ups are approved this one waits like
// others, and brings nothing before: who has not been let in stores nothing.
// Errors: those of [accounts.NewSignup] and [accounts.Signup], [auth.ErrServiceUsed], [ErrHandleElsewhere].
// spec: account#pds-account-migration
func (a *Acts) MoveIn(ctx context.Context, t *tenant.Tenant, proof auth.Service, v Visitor, req accounts.Request) (Arrival, error) {
	s, err := a.newSignup(ctx, t, v.From, req)
	if err != nil {
		return Arrival{}, err
	}
	if s.External {
		if err := a.leadsTo(ctx, v.Asks, s.Handle, identity.HandleExternal, s.DID); err != nil {
			return Arrival{}, err
		}
		if s.Elsewhere, err = a.Tenants.NoteHandle(ctx, t, s.Handle); err != nil {
			return Arrival{}, err
		}
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return Arrival{}, err
	}
	if err := s.MintKey(a.Keys); err != nil {
		return Arrival{}, err
	}
	tdb := a.DB.Tenant(t.Schema)
	if s.AID, err = tdb.Q().LockNextAID(ctx); err != nil {
		return Arrival{}, fmt.Errorf("take an account number: %w", err)
	}
	first, scope := a.Sessions.NewRefresh(), auth.ScopeAccess
	if t.Settings.Signup == tenant.SignupApproval {
		scope = auth.ScopeSignupQueued
	}
	err = tdb.Tx(ctx, func(q *tenantdb.Queries) error {
		if err := proof.UseUp(ctx, q); err != nil {
			return err
		}
		if err := s.Begin(ctx, q, a.Keys); err != nil {
			return err
		}
		if _, err := repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, a.Now()); err != nil {
			return err
		}
		if scope == auth.ScopeSignupQueued {
			if err := s.Queue(ctx, q, v.Language); err != nil {
				return err
			}
		}
		if err := auth.InsertRefresh(ctx, q, s.CreatedAt, s.AID, first, nil); err != nil {
			return err
		}
		return a.withinAccounts(ctx, q, t)
	})
	if err != nil {
		return Arrival{}, err
	}
	return a.arrived(t, secrets, s, scope, first)
}

// arrived mints the first session.
func (a *Acts) arrived(t *tenant.Tenant, secrets *auth.Secrets, s *accounts.Signup, scope auth.Scope, first auth.RefreshRow) (Arrival, error) {
	a.Actors.Forget(t.Schema, s.DID)
	pair, err := a.Sessions.Mint(t, secrets, scope, s.DID, s.Epochs(), first)
	if err != nil {
		return Arrival{}, err
	}
	return Arrival{DID: s.DID, Handle: s.Handle, Session: pair, Queued: scope == auth.ScopeSignupQueued}, nil
}

// newSignup makes every check that costs little, and then hashes the password.
func (a *Acts) newSignup(ctx context.Context, t *tenant.Tenant, from fair.Path, req accounts.Request) (*accounts.Signup, error) {
	s, err := accounts.NewSignup(t, req, a.Now())
	if err != nil {
		return nil, err
	}
	if taken, err := a.Tenants.NameTaken(ctx, s.Handle); err != nil {
		return nil, err
	} else if taken {
		return nil, identity.ErrHandleReserved // it leads to a tenant
	}
	if err := a.mayArrive(ctx, t); err != nil {
		return nil, err
	}
	if err := s.CheckFree(ctx, a.DB.Tenant(t.Schema).Q()); err != nil {
		return nil, err
	}
	if req.Password != nil {
		if s.PasswordHash, err = a.Passwords.Hash(ctx, from, *req.Password); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// mint is a sign-up with its new DID and its account number, which leaves no trace yet.
func (a *Acts) mint(ctx context.Context, t *tenant.Tenant, from fair.Path, req accounts.Request) (*accounts.Signup, identity.Signer, error) {
	s, err := a.newSignup(ctx, t, from, req)
	if err != nil {
		return nil, nil, err
	}
	rotation, err := a.Tenants.RotationSigner(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	if err := s.Mint(a.Keys, rotation); err != nil {
		return nil, nil, err
	}
	// A statement of its own: it locks the tenant's hot row, and a gap in the numbers is harmless.
	if s.AID, err = a.DB.Tenant(t.Schema).Q().LockNextAID(ctx); err != nil {
		return nil, nil, fmt.Errorf("take an account number: %w", err)
	}
	return s, rotation, nil
}

// enqueue makes an account that waits for approval, in one transaction: neither the PLC directory nor the firehose hears
// of it before somebody approves. also runs in the transaction.
func (a *Acts) enqueue(ctx context.Context, t *tenant.Tenant, s *accounts.Signup, lang string, also func(*tenantdb.Queries) error) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := s.Begin(ctx, q, a.Keys); err != nil {
			return err
		}
		if _, err := repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, a.Now()); err != nil {
			return err
		}
		if err := s.Queue(ctx, q, lang); err != nil {
			return err
		}
		if err := also(q); err != nil {
			return err
		}
		return a.withinAccounts(ctx, q, t)
	})
}

// open is the part that leaves traces. Two transactions stand around the PLC directory's answer: until the second one
// nobody sees the account, and whatever fails is taken back, the DID included. A crash in between leaves rows that a
// sweep removes. also runs in the second transaction.
func (a *Acts) open(ctx context.Context, t *tenant.Tenant, s *accounts.Signup, rotation identity.Signer, also func(*tenantdb.Queries) error) error {
	tdb := a.DB.Tenant(t.Schema)
	var first *repo.Commit
	submitted := false
	err := tdb.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		if err := s.Begin(ctx, q, a.Keys); err != nil {
			return err
		}
		if first, err = repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, a.Now()); err != nil {
			return err
		}
		return a.withinAccounts(ctx, q, t)
	})
	if err == nil {
		submitted = !t.Settings.Isolated
		err = a.submit(ctx, t, s.DID, s.Genesis)
	}
	if err == nil {
		err = a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
			if err := s.Finish(ctx, q); err != nil {
				return nil, err
			}
			if err := also(q); err != nil {
				return nil, err
			}
			return s.Events(first, a.Now()), nil
		})
	}
	if err != nil {
		if finished := a.undo(ctx, tdb, s, submitted, rotation); finished {
			err = nil // the second transaction did happen, only its answer was lost
		}
	}
	return err
}

// undo takes back what a failed sign-up may have left. finished says that it did not fail after all.
func (a *Acts) undo(ctx context.Context, tdb *db.Tenant, s *accounts.Signup, submitted bool, rotation identity.Signer) (finished bool) {
	err := tdb.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		finished, err = s.Undo(ctx, q)
		return err
	})
	if err != nil {
		// The rows stay unseen and are swept; the DID is ended then.
		a.Log.ErrorContext(ctx, "sign-up could not be taken back", "did", s.DID, "err", err)
		return false
	}
	if finished || !submitted {
		return finished
	}
	end, err := s.Tombstone(rotation)
	if err == nil {
		err = a.Directory.Submit(ctx, s.DID, end)
	}
	if err != nil {
		a.Log.ErrorContext(ctx, "the DID of a failed sign-up could not be ended", "did", s.DID, "err", err)
	}
	return false
}

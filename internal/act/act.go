// Package act is what people and operators do, each thing once: sign up, sign in, change a password, an address, a handle
// or a key, take down, delete.
//
// An act does all that belongs to it: its transaction, its line in the audit log, its events, its mail, and what has to
// be told to the DID's directory. It knows neither HTTP nor flags. XRPC methods and commands parse, call one act and
// render what came of it.
//
// Who acts is a typed argument. An act that takes an [Operator] is for somebody who runs the tenant, one that takes an
// [Owner] for somebody who is signed in to an account: whoever makes one has established that. A [Visitor] may be anybody.
// Nothing of it travels in a context.
package act

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/repo/repodb"
)

// Parts are what acts work on.
type Parts struct {
	DB        *db.DB
	Tenants   *tenant.Registry
	Keys      *keyring.Keyring
	Passwords *accounts.Passwords
	Sessions  *auth.Sessions
	Actors    *accounts.Cache
	Directory identity.Directory
	Documents *identity.Resolver
	Repos     *repodb.Store
	Blobs     *blob.Blobs
	Outbox    *outbox.Outbox
	Hub       *firehose.Hub
	Clients   *client.Store
	// Sets finds a permission set by its NSID; nil: none is found.
	Sets   func(ctx context.Context, t *tenant.Tenant, nsid string) (*scope.PermissionSet, error)
	Limits *limit.Counter // nil: nothing is counted
	Usage  *usage.Meter   // nil: nothing is metered
	// Settled is how long a change of a tenant needs to be known everywhere; 0: [Settled].
	Settled time.Duration
	Now     func() time.Time
	Log     *slog.Logger
}

// Acts does them. It is safe for concurrent use.
type Acts struct {
	Parts
	*TenantActs
	way    *underWay
	failed *atomic.Int64 // sign-ins
	denied *atomic.Int64 // operators of the deployment who are none
}

// New makes the acts.
func New(p Parts) *Acts {
	if p.Settled == 0 {
		p.Settled = Settled
	}
	return &Acts{p, NewTenantActs(p.DB, p.Tenants, p.Now), &underWay{n: map[string]int{}}, new(atomic.Int64), new(atomic.Int64)}
}

// record writes an act to the audit log, inside the act's transaction.
func (a *Acts) record(ctx context.Context, q *tenantdb.Queries, o Operator, action string, deeds ...deed) error {
	return record(ctx, q, a.Now(), o, action, deeds...)
}

// publish runs change in a transaction and appends its events as the last thing in it.
func (a *Acts) publish(ctx context.Context, t *tenant.Tenant, change func(*tenantdb.Queries) ([]firehose.Event, error)) error {
	_, err := a.Hub.Publish(ctx, a.DB.Tenant(t.Schema), change)
	return err
}

// change does something to one subject and writes it down, with the events that tell of it, in one transaction.
func (a *Acts) change(ctx context.Context, t *tenant.Tenant, o Operator, action string, d deed, change func(*tenantdb.Queries) ([]firehose.Event, error)) error {
	return a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		events, err := change(q)
		if err != nil {
			return nil, err
		}
		return events, a.record(ctx, q, o, action, d)
	})
}

// find is the account with a DID or handle. Errors: [accounts.ErrNotFound].
func (a *Acts) find(ctx context.Context, t *tenant.Tenant, did string) (*accounts.Account, error) {
	return accounts.ByDID(ctx, a.DB.Tenant(t.Schema).Q(), did)
}

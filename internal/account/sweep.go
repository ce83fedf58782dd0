package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// sweepSlice bounds one transaction of the sweep.
const sweepSlice = 100

// Sweeper does what is due without anybody asking: it deletes accounts whose date has come, removes the bulk of deleted
// ones, and clears away what nobody comes back for: sign-ups that a crash cut off, expired tokens and keys, old mail. Any
// number of processes may run it at once: each takes rows that no other holds.
type Sweeper struct {
	db        *db.DB
	tenants   *tenant.Registry
	hub       *firehose.Hub
	directory identity.Directory
	documents *identity.Resolver
	now       func() time.Time
	log       *slog.Logger
}

// NewSweeper makes a sweeper; directory is told about DIDs that were made for nothing, documents say where those live
// that are to be deleted without ever having been activated.
func NewSweeper(d *db.DB, tenants *tenant.Registry, hub *firehose.Hub, directory identity.Directory, documents *identity.Resolver, now func() time.Time, log *slog.Logger) *Sweeper {
	return &Sweeper{db: d, tenants: tenants, hub: hub, directory: directory, documents: documents, now: now, log: log}
}

// Sweep goes through all tenants once, without asking what is due. What fails for one does not keep it from the others.
func (s *Sweeper) Sweep(ctx context.Context) error {
	all, err := s.tenants.List(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, t := range all {
		if t.State != tenant.Active || ctx.Err() != nil {
			continue
		}
		if err := errors.Join(s.expire(ctx, t, s.now()), s.sweep(ctx, t)); err != nil {
			failed = append(failed, fmt.Errorf("sweep %s: %w", t.Hostname, err))
		}
	}
	return errors.Join(failed...)
}

func (s *Sweeper) sweep(ctx context.Context, t *tenant.Tenant) error {
	now := s.now()
	if err := s.deleteDue(ctx, t, now); err != nil {
		return err
	}
	var failed []error // by the directory: the rest goes on
	if err := s.deleteArrivals(ctx, t, now); err != nil {
		failed = append(failed, err)
	}
	if err := s.goOn(ctx, t, now); err != nil {
		failed = append(failed, err)
	}
	if err := s.purge(ctx, t); err != nil {
		return errors.Join(append(failed, err)...)
	}
	if err := s.count(ctx, t); err != nil {
		failed = append(failed, err)
	}
	for {
		var stale []Stale
		err := s.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
			stale, err = RemoveStale(ctx, q, now, sweepSlice)
			return err
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, old := range stale {
			// When this fails the DID stays: it leads to an account that does not exist, and does no harm.
			if err := s.rejections().EndDID(ctx, t, old.DID); err != nil {
				failed = append(failed, err)
			}
		}
		if len(stale) < sweepSlice {
			return errors.Join(failed...)
		}
	}
}

const (
	// expiredKept is how long a mailed token is still known after its time: who comes late is told so.
	expiredKept = 24 * time.Hour
	// failureKept is longer than anybody waits for the next code.
	failureKept = 48 * time.Hour
	// mailKept is how long it can be seen what became of a message.
	mailKept = 7 * 24 * time.Hour
)

// expire deletes what has run out, a slice at a time.
func (s *Sweeper) expire(ctx context.Context, t *tenant.Tenant, now time.Time) error {
	q := s.db.Tenant(t.Schema).Q()
	for _, one := range []struct {
		what string
		do   func() (int64, error)
	}{
		{"refresh tokens", func() (int64, error) {
			return q.DeleteExpiredRefreshTokens(ctx, tenantdb.DeleteExpiredRefreshTokensParams{Now: now, MaxRows: sweepSlice})
		}},
		{"sign-ins of devices", func() (int64, error) {
			return q.DeleteExpiredDeviceAccounts(ctx, tenantdb.DeleteExpiredDeviceAccountsParams{Now: now, MaxRows: sweepSlice})
		}},
		{"devices", func() (int64, error) {
			return q.DeleteExpiredDevices(ctx, tenantdb.DeleteExpiredDevicesParams{Now: now, MaxRows: sweepSlice})
		}},
		{"OAuth sessions", func() (int64, error) {
			return q.DeleteExpiredOAuthSessions(ctx, tenantdb.DeleteExpiredOAuthSessionsParams{Before: now, MaxRows: sweepSlice})
		}},
		{"authorization requests", func() (int64, error) {
			return q.DeleteExpiredOAuthRequests(ctx, tenantdb.DeleteExpiredOAuthRequestsParams{Before: now, MaxRows: sweepSlice})
		}},
		{"mailed tokens", func() (int64, error) {
			return q.DeleteExpiredEmailTokens(ctx, tenantdb.DeleteExpiredEmailTokensParams{Before: now.Add(-expiredKept), MaxRows: sweepSlice})
		}},
		{"reserved keys", func() (int64, error) {
			return q.DeleteExpiredReservedKeys(ctx, tenantdb.DeleteExpiredReservedKeysParams{Now: now, MaxRows: sweepSlice})
		}},
		{"service tokens", func() (int64, error) {
			return q.DeleteExpiredServiceNonces(ctx, tenantdb.DeleteExpiredServiceNoncesParams{Before: now, MaxRows: sweepSlice})
		}},
		{"replaced secrets", func() (int64, error) {
			return q.DeleteExpiredSecrets(ctx, tenantdb.DeleteExpiredSecretsParams{Before: now, MaxRows: sweepSlice})
		}},
		{"proofs of possession", func() (int64, error) { return q.DeleteExpiredOAuthProofs(ctx, now.Unix()) }},
		{"operator tokens", func() (int64, error) {
			return q.DeleteExpiredOperatorTokens(ctx, tenantdb.DeleteExpiredOperatorTokensParams{Before: now.Add(-mailKept), MaxRows: sweepSlice})
		}},
		{"failed sign-ins", func() (int64, error) {
			return q.DeleteOldSigninFailures(ctx, tenantdb.DeleteOldSigninFailuresParams{Before: now.Add(-failureKept), MaxRows: sweepSlice})
		}},
		{"limits", func() (int64, error) {
			return q.DeleteLimitCounts(ctx, tenantdb.DeleteLimitCountsParams{Before: now.Unix(), MaxRows: sweepSlice})
		}},
		{"mail", func() (int64, error) {
			return q.DeleteOldMail(ctx, tenantdb.DeleteOldMailParams{Before: now.Add(-mailKept), MaxRows: sweepSlice})
		}},
	} {
		for {
			n, err := one.do()
			if err != nil {
				return fmt.Errorf("delete expired %s: %w", one.what, err)
			}
			if n < sweepSlice {
				break
			}
		}
	}
	return nil
}

// deleteDue deletes the accounts whose date has come, each in a transaction of its own.
func (s *Sweeper) deleteDue(ctx context.Context, t *tenant.Tenant, now time.Time) error {
	for {
		did := ""
		_, err := s.hub.Publish(ctx, s.db.Tenant(t.Schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
			did = ""
			row, err := q.LockActorDueForDeletion(ctx, now)
			if db.IsNoRows(err) {
				return nil, nil
			}
			if err != nil {
				return nil, fmt.Errorf("look for accounts to delete: %w", err)
			}
			did = row.DID
			return Delete(ctx, q, now, row.AID)
		})
		if err != nil {
			return fmt.Errorf("delete accounts whose date has come: %w", err)
		}
		if did == "" {
			return nil
		}
		s.log.Info("account deleted: its date had come", "tenant", t.Hostname, "did", did)
	}
}

// purge removes what is left of deleted accounts.
func (s *Sweeper) purge(ctx context.Context, t *tenant.Tenant) error {
	for ctx.Err() == nil {
		none := false
		err := s.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
			aid, err := q.LockPurge(ctx)
			if none = db.IsNoRows(err); none {
				return nil
			}
			if err != nil {
				return fmt.Errorf("look for deleted accounts: %w", err)
			}
			_, err = Purge(ctx, q, aid)
			return err
		})
		if err != nil || none {
			return err
		}
	}
	return ctx.Err()
}

// count counts the records of accounts that are older than the counters, each in a transaction of its own.
func (s *Sweeper) count(ctx context.Context, t *tenant.Tenant) error {
	tdb := s.db.Tenant(t.Schema)
	for after := int64(0); ctx.Err() == nil; {
		page, err := tdb.Q().ListUncounted(ctx, tenantdb.ListUncountedParams{After: after, MaxRows: sweepSlice})
		if err != nil {
			return fmt.Errorf("look for uncounted accounts: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, aid := range page {
			err := tdb.Tx(ctx, func(q *tenantdb.Queries) error {
				_, _, err := repodb.Recount(ctx, q, aid)
				if errors.Is(err, repodb.ErrRepoNotFound) {
					err = q.DeleteUncounted(ctx, aid)
				}
				return err
			})
			if err != nil {
				return err
			}
			after = aid
		}
	}
	return ctx.Err()
}

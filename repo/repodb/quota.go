package repodb

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Why records are refused for their number or size. A *QuotaError says which.
var (
	// ErrAccountQuota: the account's records would be more, or take more, than they may.
	ErrAccountQuota = errors.New("account's quota of records is used up")
	// ErrTenantQuota: the records of all accounts together would.
	ErrTenantQuota = errors.New("tenant's quota of records is used up")
)

// QuotaError is a write beyond a quota. Its text is for the client.
type QuotaError struct {
	Kind  error  // one of the above
	What  string // records or bytes of records
	Limit int64
	Want  int64 // what there would be
	// Shared is what records and files may take together, where that is why there is a limit; 0: it is not.
	Shared int64
}

func (e *QuotaError) Error() string {
	whose := "An account"
	if e.Kind == ErrTenantQuota {
		whose = "This server"
	}
	if e.Shared > 0 {
		return fmt.Sprintf("Records and files of this server may take %d bytes together, and would take more: delete some first", e.Shared)
	}
	return fmt.Sprintf("%s may have %d %s here, and would have %d: delete some first", whose, e.Limit, e.What, e.Want)
}

// Said is the text for the client, whatever the error was wrapped with.
func (e *QuotaError) Said() string { return e.Error() }

func (e *QuotaError) Unwrap() error { return e.Kind }

// Sum is a number of records and what their blocks take.
type Sum struct{ Records, Bytes int64 }

// Quota is how many records there may be and how many bytes they may take: of an account without limits of its own, and
// of all accounts of the tenant together. 0 is no limit.
type Quota struct {
	Account, Tenant Sum
	// Shared is what records and files of the tenant may take together, where Tenant.Bytes is what files leave of it.
	Shared int64
}

// refuseTenant says whether more would be beyond what all accounts may have.
func (q Quota) refuseTenant(have, more Sum) error {
	err := q.Tenant.refuse(ErrTenantQuota, have, more)
	if e, ok := err.(*QuotaError); ok && e.What == bytesOfRecords {
		e.Shared = q.Shared
	}
	return err
}

const bytesOfRecords = "bytes of records"

// usage is what the head row says of an account's records.
type usage struct {
	counted bool
	have    Sum       // at least so many bytes, exactly so many records
	own     [2]*int64 // limits of its own: records, bytes
	version int32     // of limits and counters: compared when the head moves
}

// limits are those that hold for the account.
func (u *usage) limits(q Quota) Sum { return LimitsOf(u.own[0], u.own[1], q.Account) }

// LimitsOf is what an account's records may be and take: limits of its own, or where there is none (nil) the tenant's
// setting. 0 is no limit.
func LimitsOf(records, bytes *int64, setting Sum) Sum {
	if records != nil {
		setting.Records = *records
	}
	if bytes != nil {
		setting.Bytes = *bytes
	}
	return setting
}

// refuse says whether more would be beyond the limits. An account that is beyond its limit already may do what does not
// add to it.
func (limit Sum) refuse(kind error, have, more Sum) error {
	if want := have.Records + more.Records; limit.Records > 0 && more.Records > 0 && want > limit.Records {
		return &QuotaError{Kind: kind, What: "records", Limit: limit.Records, Want: want}
	}
	if want := have.Bytes + more.Bytes; limit.Bytes > 0 && more.Bytes > 0 && want > limit.Bytes {
		return &QuotaError{Kind: kind, What: bytesOfRecords, Limit: limit.Bytes, Want: want}
	}
	return nil
}

// checkQuota says whether the commit is within the quotas. It asks the database only when what the process knows may be
// too much: of the account it knows the records exactly and of the bytes an upper bound, of the tenant what its own
// last group left. An account's quota is exact, because its counters belong to the head that the commit is built on. A
// tenant's quota may be exceeded by commits that are on their way.
func (s *Store) checkQuota(ctx context.Context, st *state, quota Quota, p *pending) error {
	u, more := &st.head.usage, Sum{int64(p.records), p.bytes}
	if more.Records <= 0 && more.Bytes == 0 {
		return nil
	}
	total, known := s.totalOf(st.key.schema)
	within := (!u.counted || u.limits(quota).refuse(ErrAccountQuota, u.have, more) == nil) &&
		(quota.Tenant == Sum{} || known && quota.refuseTenant(total, more) == nil)
	if within {
		return nil
	}
	row, err := s.db.Tenant(st.key.schema).Q().GetRecordUsage(ctx, tenantdb.GetRecordUsageParams{AID: st.key.aid, Paths: p.old})
	if db.IsNoRows(err) {
		return ErrRepoNotFound
	}
	if err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	if row.HeadRev != int64(st.head.Rev) || row.LimitsVersion != u.version {
		return errStale
	}
	more.Bytes -= row.OldBytes
	if row.RecordCount != nil {
		u.have.Bytes = *row.RecordBytes
		p.head.usage.have.Bytes = u.have.Bytes + more.Bytes
		if err := u.limits(quota).refuse(ErrAccountQuota, u.have, more); err != nil {
			return err
		}
	}
	s.learnTotal(st.key.schema, Sum{row.TenantRecords, row.TenantBytes})
	return quota.refuseTenant(Sum{row.TenantRecords, row.TenantBytes}, more)
}

// totalOf is what the tenant's records take, as the process heard last.
func (s *Store) totalOf(schema db.Schema) (Sum, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total, ok := s.totals[schema]
	return total, ok
}

func (s *Store) learnTotal(schema db.Schema, total Sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals[schema] = total
}

// Recount counts an account's records by reading them, inside a transaction of its own, and tells what was counted
// before; nil: it had not been counted. No commit happens meanwhile. Errors: [ErrRepoNotFound].
func Recount(ctx context.Context, q *tenantdb.Queries, aid int64) (is Sum, was *Sum, err error) {
	old, err := q.LockRecordCounts(ctx, aid)
	if db.IsNoRows(err) {
		return Sum{}, nil, ErrRepoNotFound
	}
	if err != nil {
		return Sum{}, nil, fmt.Errorf("lock counters of actor %d: %w", aid, err)
	}
	row, err := q.CountRecords(ctx, aid)
	if err != nil {
		return Sum{}, nil, fmt.Errorf("count records of actor %d: %w", aid, err)
	}
	is = Sum{row.Records, row.Bytes}
	if old.Counted {
		was = &Sum{old.Records, old.Bytes}
	}
	if err := setCounts(ctx, q, aid, is, Sum{old.Records, old.Bytes}, was != nil); err != nil {
		return Sum{}, nil, err
	}
	return is, was, nil
}

// setCounts writes what an account has, behind a lock of its row; before is what the tenant's sum has of it.
func setCounts(ctx context.Context, q *tenantdb.Queries, aid int64, is, before Sum, counted bool) error {
	if counted && is == before {
		return nil
	}
	err := q.UpdateRecordCounts(ctx, tenantdb.UpdateRecordCountsParams{AID: aid, Records: is.Records, Bytes: is.Bytes})
	if err == nil && !counted {
		err = q.DeleteUncounted(ctx, aid)
	}
	if err == nil && is != before {
		err = q.UpdateRecordTotals(ctx, tenantdb.UpdateRecordTotalsParams{Records: is.Records - before.Records, Bytes: is.Bytes - before.Bytes})
	}
	if err != nil {
		return fmt.Errorf("counters of actor %d: %w", aid, err)
	}
	return nil
}

// RecountTotals makes the tenant's sum anew, inside a transaction of its own.
func RecountTotals(ctx context.Context, q *tenantdb.Queries) (is Sum, err error) {
	if _, err := q.LockStream(ctx); err != nil {
		return Sum{}, fmt.Errorf("lock stream: %w", err)
	}
	row, err := q.UpdateRecordTotalsSummed(ctx)
	if err != nil {
		return Sum{}, fmt.Errorf("sum counters: %w", err)
	}
	return Sum{row.Records, row.RecordBytes}, nil
}

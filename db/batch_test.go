package db_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/jackc/pgx/v5"
)

func newTenant(t *testing.T) (*db.DB, *db.Tenant) {
	t.Helper()
	d := dbtest.New(t)
	return d, d.Tenant(dbtest.Tenant(t, d))
}

func nextAID(t *testing.T, tenant *db.Tenant) int64 {
	t.Helper()
	h, err := tenant.Q().GetStreamHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.NextAID
}

func TestBatch(t *testing.T) {
	_, tenant := newTenant(t)
	ctx := t.Context()
	b := tenant.Batch()
	var changed, aid int64
	var purposes []string
	queueSecret(b, "one").Exec(func(n int64) error { changed = n; return nil })
	queueSecret(b, "two")
	b.Queue(tenantdb.LockNextAID).Row(func(row pgx.Row) error { return row.Scan(&aid) })
	b.Queue("SELECT convert_from(key, 'UTF8') FROM pds_tenant.tenant_item WHERE kind = 1 ORDER BY key").Each(func(row pgx.Row) error {
		var p string
		err := row.Scan(&p)
		purposes = append(purposes, p)
		return err
	})
	if b.Len() != 4 {
		t.Error(b.Len())
	}
	if err := b.Send(ctx); err != nil {
		t.Fatal(err)
	}
	if changed != 1 || aid != 1 || strings.Join(purposes, " ") != "one two" {
		t.Errorf("changed %d, aid %d, %q", changed, aid, purposes)
	}
	if err := tenant.Batch().Send(ctx); err != nil {
		t.Errorf("empty: %v", err)
	}
}

// One statement fails: none happened, the callbacks before it notwithstanding.
func TestBatchIsOneTransaction(t *testing.T) {
	_, tenant := newTenant(t)
	ctx := t.Context()
	for range 2 { // unprepared, prepared
		b := tenant.Batch()
		told := false
		b.Queue(tenantdb.LockNextAID).Exec(func(int64) error { told = true; return nil })
		b.Queue("INSERT INTO pds_tenant.stream_head (id, last_seq, next_aid) VALUES ($1, 0, 0)", 1)
		b.Queue(tenantdb.LockNextAID)
		err := b.Send(ctx)
		if name, ok := db.IsUnique(err); !ok || name != "stream_head_pkey" {
			t.Errorf("%q: %v", name, err)
		}
		if errors.Is(err, db.ErrUnknownOutcome) || db.IsUnavailable(err) || !told {
			t.Errorf("told %v: %v", told, err)
		}
		if got := nextAID(t, tenant); got != 1 {
			t.Errorf("next_aid %d: not taken back", got)
		}
	}
}

// What a callback finds wrong does not take the batch back, and the error says so.
func TestBatchAfterCommit(t *testing.T) {
	_, tenant := newTenant(t)
	mine := errors.New("mine")
	for name, tc := range map[string]struct {
		queue func(*db.Batch)
		want  error
	}{
		"exec": {func(b *db.Batch) { b.Queue(tenantdb.LockNextAID).Exec(func(int64) error { return mine }) }, mine},
		"row":  {func(b *db.Batch) { b.Queue(tenantdb.LockNextAID).Row(func(pgx.Row) error { return mine }) }, mine},
		"each": {func(b *db.Batch) { b.Queue(tenantdb.LockNextAID).Each(func(pgx.Row) error { return mine }) }, mine},
		"scan": {func(b *db.Batch) {
			b.Queue(tenantdb.LockNextAID).Row(func(r pgx.Row) error { var s []string; return r.Scan(&s) })
		}, db.ErrAfterCommit},
		"no row": {func(b *db.Batch) {
			b.Queue("SELECT 1 FROM pds_tenant.tenant_item WHERE kind = 1").Row(func(r pgx.Row) error { return nil })
			b.Queue(tenantdb.LockNextAID)
		}, db.ErrNoRows},
	} {
		t.Run(name, func(t *testing.T) {
			before := nextAID(t, tenant)
			b := tenant.Batch()
			tc.queue(b)
			seen := false
			b.Queue(tenantdb.GetLastSeq).Row(func(row pgx.Row) error { seen = true; var n int64; return row.Scan(&n) })
			err := b.Send(t.Context())
			if !errors.Is(err, db.ErrAfterCommit) || !errors.Is(err, tc.want) {
				t.Errorf("%v", err)
			}
			if got := nextAID(t, tenant); got != before+1 {
				t.Error("not committed")
			}
			if !seen {
				t.Error("the statements behind it were not read")
			}
		})
	}
}

// Arguments that cannot be encoded and statements that cannot be prepared: nothing was sent, and the outcome is known.
func TestBatchNotSent(t *testing.T) {
	_, tenant := newTenant(t)
	for name, queue := range map[string]func(*db.Batch){
		"argument":  func(b *db.Batch) { b.Queue(tenantdb.GetSecret, struct{ X chan int }{}) },
		"statement": func(b *db.Batch) { b.Queue("SELECT nothing FROM pds_tenant.tenant_item") },
	} {
		b := tenant.Batch()
		b.Queue(tenantdb.LockNextAID)
		queue(b)
		err := b.Send(t.Context())
		if err == nil || errors.Is(err, db.ErrUnknownOutcome) || errors.Is(err, db.ErrAfterCommit) || db.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
		if got := nextAID(t, tenant); got != 1 {
			t.Errorf("%s: next_aid %d", name, got)
		}
	}
}

package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/jackc/pgx/v5"
)

// Citus sends each statement of an implicit transaction on its own to where the rows are, if that is another server: what
// one of them did stays when the next one fails. This is why nothing is written from elsewhere.
func TestCitusTakesBatchesApart(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	url := dbtest.URL(t)
	s := dbtest.Tenant(t, dbtest.Open(t, url))
	for worker, there := range map[int32]int{s.Node(): 0, 5 - s.Node(): 1} {
		conn, err := pgx.Connect(t.Context(), dbtest.Where(url, s.On(worker)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var b pgx.Batch
		b.Queue("INSERT INTO " + s.String() + ".tally (bucket, key, ends_at, points, last_at) VALUES ('b', 'k', 0, 1, '2026-01-01Z')")
		b.Queue("SELECT 1/0")
		if err := conn.SendBatch(t.Context(), &b).Close(); err == nil {
			t.Fatal("it did not fail")
		}
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+s.String()+".tally").Scan(&n); err != nil || n != there {
			t.Errorf("worker %d, owner %d: %d rows, want %d: %v", worker, s.Node(), n, there, err)
		}
		if _, err := conn.Exec(t.Context(), "DELETE FROM "+s.String()+".tally"); err != nil {
			t.Fatal(err)
		}
	}
}

// elsewhere is each way to reach a tenant's rows.
var elsewhere = map[string]func(context.Context, *db.Tenant) error{
	"read": func(ctx context.Context, t *db.Tenant) error { _, err := t.Q().GetLastSeq(ctx); return err },
	"statement": func(ctx context.Context, t *db.Tenant) error {
		return t.Q().InsertSecret(ctx, secret("y"))
	},
	"batch": func(ctx context.Context, t *db.Tenant) error {
		b := t.Batch()
		queueSecret(b, "x")
		return b.Send(ctx)
	},
	"transaction": func(ctx context.Context, t *db.Tenant) error {
		return t.Tx(ctx, func(q *tenantdb.Queries) error { _, err := q.GetLastSeq(ctx); return err })
	},
	"moment": func(ctx context.Context, t *db.Tenant) error {
		return t.ReadTx(ctx, func(tx *db.ReadTx) error { _, err := tx.Q().GetLastSeq(ctx); return err })
	},
}

// A process that looks for a tenant on the wrong worker is refused there, and goes where control says that it is.
func TestCitusElsewhere(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s := dbtest.Tenant(t, d)
	wrong := s.On(5 - s.Node())
	for name, reach := range elsewhere {
		err := reach(t.Context(), d.Tenant(wrong))
		if !errors.Is(err, db.ErrNotPlaced) || !db.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := d.Control().InsertTenant(t.Context(), controldb.InsertTenantParams{
		TenantID: 1, Hostname: "h.test", SchemaName: s.String(), ServiceDID: "did:web:h.test", NodeID: s.Node(), State: 1, Settings: []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, reach := range elsewhere {
		d := dbtest.Open(t, url) // it has learnt nothing
		err := reach(t.Context(), d.Tenant(wrong))
		if name == "moment" && errors.Is(err, db.ErrMoved) { // the next one is read there
			err = reach(t.Context(), d.Tenant(wrong))
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

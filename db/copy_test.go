package db_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Whatever tables a schema has, it can be copied to another server, in the order in which they are listed.
func TestCopyOfASchema(t *testing.T) {
	ctx := t.Context()
	from, to := dbtest.New(t), dbtest.New(t)
	was, is := dbtest.Tenant(t, from), dbtest.Tenant(t, to)
	now := time.Now().UTC().Truncate(time.Microsecond)
	fillForCopy(t, from, was, now)
	load := func(fail error) error {
		return to.Tenant(is).LoadTx(ctx, func(in *db.LoadTx) error {
			if err := in.Empty(ctx); err != nil {
				return err
			}
			if err := copyAll(ctx, from, was, in); err != nil {
				return err
			}
			return fail
		})
	}
	failed := errors.New("stop")
	if err := load(failed); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if head, err := to.Tenant(is).Q().GetStreamHead(ctx); err != nil || head.LastSeq != 0 {
		t.Fatalf("a load that failed left something: %+v %v", head, err)
	}
	if err := load(nil); err != nil {
		t.Fatal(err)
	}
	if a, b := contents(t, from, was), contents(t, to, is); !slices.EqualFunc(a, b, bytes.Equal) {
		t.Error("the copy is not what was copied")
	}
	key, err := to.Tenant(is).Q().GetSigningKey(ctx, 1)
	if err != nil || string(key.Sealed) != "sealed" {
		t.Errorf("%+v %v", key, err)
	}
}

func fillForCopy(t *testing.T, d *db.DB, s db.Schema, now time.Time) {
	t.Helper()
	err := d.Tenant(s).Tx(t.Context(), func(q *tenantdb.Queries) error {
		if err := q.InsertSignupActor(t.Context(), tenantdb.InsertSignupActorParams{AID: 1, DID: "did:plc:a", Handle: "a.test", CreatingSince: now, CreatedAt: now}); err != nil {
			return err
		}
		return q.InsertSigningKey(t.Context(), tenantdb.InsertSigningKeyParams{AID: 1, Sealed: []byte("sealed"), Public: "did:key:z", CreatedAt: now})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyAll(ctx context.Context, from *db.DB, s db.Schema, in *db.LoadTx) error {
	return from.Tenant(s).ReadTx(ctx, func(out *db.ReadTx) error {
		if err := out.Unhurried(ctx); err != nil {
			return err
		}
		all, err := out.Tables(ctx)
		if err != nil {
			return err
		}
		for _, table := range all {
			var rows bytes.Buffer
			sent, err := out.CopyOut(ctx, &rows, table)
			if err != nil {
				return err
			}
			got, err := in.CopyIn(ctx, &rows, table.Name, table.Names()...)
			if err != nil {
				return err
			}
			if got != sent {
				return errors.New("rows were lost")
			}
		}
		return nil
	})
}

// contents is every table of a schema, which nobody changes.
func contents(t *testing.T, d *db.DB, s db.Schema) (out [][]byte) {
	t.Helper()
	err := d.Tenant(s).ReadTx(t.Context(), func(tx *db.ReadTx) error {
		all, err := tx.Tables(t.Context())
		for _, table := range all {
			rows := bytes.NewBufferString(table.Name)
			if _, err := tx.CopyOut(t.Context(), rows, table); err != nil {
				return err
			}
			out = append(out, rows.Bytes())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A disk that is full is not the database's trouble: nobody waits for the database to be back.
func TestCopyToAFullDisk(t *testing.T) {
	d := dbtest.New(t)
	s := dbtest.Tenant(t, d)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		full, err = os.Open(os.DevNull) // where there is none: a file that takes nothing
	}
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	err = d.Tenant(s).ReadTx(t.Context(), func(tx *db.ReadTx) error {
		_, err := tx.CopyQuery(t.Context(), full, "SELECT n, h.last_seq FROM pds_tenant.stream_head h, generate_series(1, 100000) n")
		return err
	})
	var file *fs.PathError
	if !errors.As(err, &file) || db.IsUnavailable(err) {
		t.Error(err)
	}
}

// A column that the rows do not have gets its default; a query copies a part; what does not fit ends the transaction.
func TestCopyOfAPart(t *testing.T) {
	ctx := t.Context()
	d := dbtest.New(t)
	was, is := dbtest.Tenant(t, d), dbtest.Tenant(t, d)
	fillForCopy(t, d, was, time.Now().UTC().Truncate(time.Microsecond))
	columns := []string{"aid", "did", "created_at"}
	var rows bytes.Buffer
	err := d.Tenant(was).ReadTx(ctx, func(tx *db.ReadTx) error {
		n, err := tx.CopyQuery(ctx, &rows, "SELECT aid, did, created_at FROM pds_tenant.actor WHERE aid = 1")
		if n != 1 {
			t.Errorf("%d rows", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	in := func(b []byte) error {
		return d.Tenant(is).LoadTx(ctx, func(tx *db.LoadTx) error {
			_, err := tx.CopyIn(ctx, bytes.NewReader(b), "actor", columns...)
			return err
		})
	}
	// Postgres takes a head without rows, and rows without the two bytes that mark their end: who copies counts rows.
	for n := 21; n < rows.Len()-2; n++ {
		if in(rows.Bytes()[:n]) == nil {
			t.Errorf("the first %d of %d bytes went in", n, rows.Len())
		}
	}
	if err := in(rows.Bytes()); err != nil {
		t.Fatal(err)
	}
	got, err := d.Tenant(is).Q().GetActorStatus(ctx, "did:plc:a")
	if err != nil || got.AID != 1 || got.Handle != nil {
		t.Errorf("%+v %v", got, err)
	}
}

// A schema can be made as an older program had it, and brought up.
func TestSchemaAtAVersion(t *testing.T) {
	ctx := t.Context()
	d := dbtest.New(t)
	old, err := db.ParseSchema("t_old")
	if err != nil {
		t.Fatal(err)
	}
	latest, err := db.LatestTenantVersion()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CreateTenantSchemaAt(ctx, old, latest+1); !errors.Is(err, db.ErrTooNew) {
		t.Errorf("a version of the future: %v", err)
	}
	if err := d.CreateTenantSchemaAt(ctx, old, 1); err != nil {
		t.Fatal(err)
	}
	version := func() (v int64) {
		err := d.Tenant(old).ReadTx(ctx, func(tx *db.ReadTx) (err error) { v, err = tx.Version(ctx); return err })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := version(); v != 1 {
		t.Errorf("version %d", v)
	}
	if err := d.MigrateTenant(ctx, old); err != nil {
		t.Fatal(err)
	}
	if v := version(); v != latest {
		t.Errorf("version %d", v)
	}
}

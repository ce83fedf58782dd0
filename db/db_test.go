package db_test

import (
	"errors"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

func TestParseSchema(t *testing.T) {
	for _, name := range []string{"t_1", "t_alpha_2", "t_" + string(make50())} {
		if s, err := db.ParseSchema(name); err != nil || s.String() != name {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "t_", "public", "control", "pds_tenant", "t_A", "t_a-b", "t_a.b", `t_a"`, "t_a ", "t_a\n", "t_" + string(make50()) + "x"} {
		if _, err := db.ParseSchema(name); !errors.Is(err, db.ErrBadSchema) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func make50() []byte {
	b := make([]byte, 50)
	for i := range b {
		b[i] = 'a'
	}
	return b
}

// Two tenants with the same keys do not see each other's rows, in every way of running a statement.
func TestTenantsAreIsolated(t *testing.T) {
	d := dbtest.New(t)
	ctx := t.Context()
	a, b := d.Tenant(dbtest.Tenant(t, d)), d.Tenant(dbtest.Tenant(t, d))
	insert := func(q *tenantdb.Queries, public string) error {
		return q.InsertSecret(ctx, tenantdb.InsertSecretParams{Purpose: "jwt", Sealed: []byte(public), Public: public, CreatedAt: time.Now()})
	}
	if err := insert(a.Q(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Q().GetSecret(ctx, "jwt"); !db.IsNoRows(err) {
		t.Fatalf("b sees a's row: %v", err)
	}
	if err := b.Tx(ctx, func(q *tenantdb.Queries) error { return insert(q, "b") }); err != nil {
		t.Fatal(err)
	}
	for want, tenant := range map[string]*db.Tenant{"a": a, "b": b} {
		got, err := tenant.Q().GetSecret(ctx, "jwt")
		if err != nil || got.Public != want {
			t.Errorf("tenant %s reads %q: %v", want, got.Public, err)
		}
		err = tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
			return tx.Stream(ctx, tenantdb.GetSecret, []any{"jwt"}, func(raw [][]byte) error {
				if string(raw[0]) != want {
					t.Errorf("tenant %s streams %q", want, raw[0])
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	}
}

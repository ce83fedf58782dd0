package db_test

import (
	"errors"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// A schema of one name on two nodes is two schemas; a node without a URL is refused, and nobody else with it.
func TestNodes(t *testing.T) {
	dbtest.Plain(t, "it numbers the nodes itself, and the workers have these numbers")
	ctx := t.Context()
	d := dbtest.OpenNodes(t, dbtest.URL(t), map[string]string{"second": dbtest.EmptyURL(t)})
	for id, ref := range map[int32]string{2: "second", 3: "third"} {
		if err := d.Control().InsertNode(ctx, controldb.InsertNodeParams{NodeID: id, DSNRef: ref, AcceptsNew: true}); err != nil {
			t.Fatal(err)
		}
	}
	here, err := db.ParseSchema("t_nodes")
	if err != nil {
		t.Fatal(err)
	}
	there := here.On(2)
	if err := d.CreateTenantSchema(ctx, there); !errors.Is(err, db.ErrNoNode) {
		t.Fatalf("a node that was not learnt: %v", err)
	}
	if err := d.LearnNodes(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range []db.Schema{here, there} {
		if err := d.CreateTenantSchema(ctx, s); err != nil {
			t.Fatalf("node %d: %v", s.Node(), err)
		}
	}
	if err := d.Tenant(there).Q().InsertSecret(ctx, tenantdb.InsertSecretParams{Purpose: "jwt", Sealed: []byte("x"), Public: "there"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Tenant(here).Q().GetSecret(ctx, "jwt"); !db.IsNoRows(err) {
		t.Errorf("a row of the other node: %v", err)
	}
	if got, err := d.Tenant(there).Q().GetSecret(ctx, "jwt"); err != nil || got.Public != "there" {
		t.Errorf("%q: %v", got.Public, err)
	}
	if err := d.PingNode(ctx, 2); err != nil {
		t.Error(err)
	}
	lost := here.On(3)
	if d.Knows(lost) || !d.Knows(here) || !d.Knows(there) {
		t.Error("knows the wrong nodes")
	}
	_, single := d.Tenant(lost).Q().GetSecret(ctx, "jwt")
	for _, err := range []error{single, d.CreateTenantSchema(ctx, lost), d.MigrateTenant(ctx, lost), d.DropTenantSchema(ctx, lost), d.PingNode(ctx, 3),
		d.Tenant(lost).Tx(ctx, func(*tenantdb.Queries) error { return nil }),
		d.Tenant(lost).ReadTx(ctx, func(*db.ReadTx) error { return nil })} {
		if !errors.Is(err, db.ErrNoNode) || !db.IsUnavailable(err) {
			t.Errorf("a node without a URL: %v", err)
		}
	}
	if !d.Answers() {
		t.Error("a node that is not known counts as an outage")
	}
	if here.On(db.HomeNode) != here {
		t.Error("the home node has two values")
	}
}

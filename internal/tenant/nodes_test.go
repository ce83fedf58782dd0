package tenant_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/tenant"
)

// A database becomes a node once, is known again by its label, and takes tenants; another one under its name is refused.
func TestNodesOfADeployment(t *testing.T) {
	dbtest.Plain(t, "it counts the nodes, and a cluster has two of its own")
	ctx := t.Context()
	home, second, other := dbtest.URL(t), dbtest.EmptyURL(t), dbtest.EmptyURL(t)
	d := dbtest.OpenNodes(t, home, map[string]string{"second": second, "again": second, "itself": home})
	keys := newKeys(t)
	r := newRegistry(d, keys)
	for range 2 { // a second time it is there already
		n, err := r.AddNode(ctx, "second", true, "")
		if err != nil || n.ID != 2 || !n.AcceptsNew || !n.Known {
			t.Fatalf("%+v: %v", n, err)
		}
	}
	for name, want := range map[string]error{"again": db.ErrNodeTaken, "itself": db.ErrNodeTaken, "home": db.ErrNodeTaken, "third": db.ErrNoNode} {
		if _, err := r.AddNode(ctx, name, true, ""); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	var on []int32
	for _, host := range []string{"a.example.com", "b.example.com", "c.example.com"} {
		one, err := r.Create(ctx, tenant.Spec{Hostname: host})
		if err != nil {
			t.Fatal(err)
		}
		on = append(on, one.NodeID)
	}
	if !slices.Equal(on, []int32{1, 2, 1}) {
		t.Errorf("tenants went to %v", on)
	}
	if one, err := r.Create(ctx, tenant.Spec{Hostname: "d.example.com", Node: 1}); err != nil || one.NodeID != 1 {
		t.Errorf("%+v: %v", one, err)
	}
	if n, err := r.SetNode(ctx, "second", false); err != nil || n.AcceptsNew || n.Tenants != 1 {
		t.Errorf("%+v: %v", n, err)
	}
	if one, err := r.Create(ctx, tenant.Spec{Hostname: "e.example.com"}); err != nil || one.NodeID != 1 {
		t.Errorf("%+v: %v", one, err)
	}
	if err := r.RemoveNode(ctx, "second"); !errors.Is(err, tenant.ErrNodeInUse) {
		t.Errorf("a node with a tenant: %v", err)
	}

	// Another process, whose URL of that name leads elsewhere.
	wrong := dbtest.OpenNodes(t, home, map[string]string{"second": other})
	rw := newRegistry(wrong, keys)
	b, err := rw.Get(ctx, "b.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Tenant(b.Schema).Q().GetLastSeq(ctx); !errors.Is(err, db.ErrWrongNode) || !db.IsUnavailable(err) {
		t.Errorf("a wrong database is used: %v", err)
	}
	if err := wrong.PingNode(ctx, 2); !errors.Is(err, db.ErrWrongNode) {
		t.Errorf("a wrong database answers: %v", err)
	}
	if _, err := rw.Create(ctx, tenant.Spec{Hostname: "f.example.com", Node: 2}); !errors.Is(err, db.ErrWrongNode) {
		t.Errorf("a tenant is made in a wrong database: %v", err)
	}
	a, err := rw.Get(ctx, "a.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Tenant(a.Schema).Q().GetLastSeq(ctx); err != nil {
		t.Errorf("other tenants: %v", err)
	}
}

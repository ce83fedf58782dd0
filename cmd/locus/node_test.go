package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
)

func TestNodeFlags(t *testing.T) {
	f := nodeFlags{DatabaseNode: []string{"b=postgres://u@h1,h2/locus?port=1,2,c=postgresql://h3/x?a=b\n d=postgres://h4/y"}}
	got, err := f.nodes()
	want := map[string]string{"b": "postgres://u@h1,h2/locus?port=1,2", "c": "postgresql://h3/x?a=b", "d": "postgres://h4/y"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%q: %v", got, err)
	}
	for _, bad := range []string{"postgres://h/x", "b=", "b=mysql://h/x", "B=postgres://h/x", "home=postgres://h/x", "b=postgres://h/x,b=postgres://i/x", "b=host=h password=secret"} {
		_, err := nodeFlags{DatabaseNode: []string{bad}}.nodes()
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestReplicaFlags(t *testing.T) {
	nodes := map[string]string{"b": "postgres://h/x"}
	f := replicaFlags{DatabaseReplica: []string{"postgres://u@h1/locus?port=1&a=b,b=postgresql://h3/x\n home=postgres://h4/y"}, ReplicaStaleness: time.Second}
	got, err := f.replicas(nodes)
	want := []db.Replica{{URL: "postgres://u@h1/locus?port=1&a=b"}, {Node: "b", URL: "postgresql://h3/x"}, {URL: "postgres://h4/y"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q: %v", got, err)
	}
	for _, bad := range []string{"c=postgres://h/x", "b=", "mysql://h/x", "b=mysql://u:secret@h/x", "host=h password=secret"} {
		_, err := replicaFlags{DatabaseReplica: []string{bad}}.replicas(nodes)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := (replicaFlags{ReplicaStaleness: time.Millisecond}).replicas(nil); err == nil {
		t.Error("a staleness that no question can keep is taken")
	}
}

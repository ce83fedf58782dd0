package handlers

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"
)

var update = flag.Bool("update", false, "rewrite testdata/access.txt and openapi/openapi.yaml")

// golden compares what is generated with what is committed.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s is not what the registered methods give: go test ./handlers -run 'TestAccess|TestDocument' -update, and read the diff", path)
	}
}

// TestAccess holds the policy: who may call what is one reviewable page.
func TestAccess(t *testing.T) {
	golden(t, "testdata/access.txt", []byte(New(testDeps(new(witness))).Access()))
}

// TestAccessLines checks the page's own wording on the examples.
func TestAccessLines(t *testing.T) {
	s, _ := exampleServer(t)
	got := s.Access()
	for _, want := range [][]string{
		{"com.atproto.repo.createRecord", "POST", "account", "std noTD noDeact", "repo:COLLECTION?action=create", "1000000", "5000/1h 35000/1d per account", "64K"},
		{"com.atproto.repo.uploadBlob", "POST", "account", "std noTD", "blob:TYPE", "setting", "1000/1d per account", "4K", "body≤blob_upload_limit"},
		{"com.atproto.server.describeServer", "GET", "public", "none", "-", "-", "-", "64K"},
		{"com.atproto.sync.getRepo", "GET", "viewer", "none, std+td, operator", "-", "-", "6000/5m per address", "64K"},
		{"com.atproto.server.deleteSession", "POST", "refresh", "refresh, also expired", "-", "-", "-", "64K"},
	} {
		found := false
		for line := range strings.Lines(got) {
			found = found || strings.Join(strings.Fields(line), " ") == strings.Join(want, " ")
		}
		if !found {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
}

// A declaration that says too little, or something false, does not start.
func TestDeclarationsThatPanic(t *testing.T) {
	m := exampleMethods{}
	for what, register := range map[string]func(*xrpc.Group, Deps){
		"no tokens named": func(g *xrpc.Group, _ Deps) {
			xrpc.Account(g, xrpc.Procedure("com.atproto.repo.createRecord"), mayCreateRecord, m.createRecord)
		},
		"no rule": func(g *xrpc.Group, _ Deps) {
			xrpc.Account(g, xrpc.Procedure("com.atproto.repo.createRecord").Takes(1), nil, m.createRecord)
		},
		"wrong kind": func(g *xrpc.Group, _ Deps) {
			xrpc.Public(g, xrpc.Procedure("com.atproto.server.describeServer"), m.describeServer)
		},
		"not in the lexicon": func(g *xrpc.Group, _ Deps) { xrpc.Public(g, xrpc.Query("com.example.nothing"), m.describeServer) },
		"other's input": func(g *xrpc.Group, _ Deps) {
			xrpc.Public(g, xrpc.Query("com.atproto.server.getSession"), m.describeServer)
		},
		"twice": func(g *xrpc.Group, _ Deps) {
			xrpc.Public(g, xrpc.Query("com.atproto.server.describeServer"), m.describeServer)
			xrpc.Public(g, xrpc.Query("com.atproto.server.describeServer"), m.describeServer)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			assemble(testDeps(new(witness)), register)
		}()
	}
}

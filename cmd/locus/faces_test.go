package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// faces call acts and reads: what changes something is an act, and the act begins the transaction, writes the audit line
// and queues the mail.
var faces = []string{"handlers", "internal/xrpc", "internal/proxy", "internal/web", "internal/web/account", "internal/web/console", "internal/web/endpoint", "internal/web/signin", "internal/admin", "cmd/locus"}

// begins are the methods of package db that begin a transaction which may change something.
var begins = []string{"Tx", "ControlTx", "Batch"}

var changes = regexp.MustCompile(`^(Insert|Update|Delete|Upsert|Lock)[A-Z]`)

// TestFacesChangeNothing holds that: no face begins a transaction, runs a statement that writes, or queues mail. There is
// no exception.
func TestFacesChangeNothing(t *testing.T) {
	writes := map[string]bool{}
	for _, dir := range []string{"db/tenantdb", "db/controldb"} {
		for _, f := range sources(t, dir) {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && changes.MatchString(fn.Name.Name) {
					writes[fn.Name.Name] = true
				}
			}
		}
	}
	if len(writes) < 100 {
		t.Fatalf("only %d statements that write were found", len(writes))
	}
	for _, dir := range faces {
		for name, f := range sources(t, dir) {
			for _, i := range f.Imports {
				if i.Path.Value == `"`+module+`internal/mail/outbox"` && dir != "cmd/locus" {
					t.Errorf("%s knows the outbox: mail is queued by acts", name)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if ok && (slices.Contains(begins, sel.Sel.Name) || writes[sel.Sel.Name]) && !ofActs(sel.X) {
					t.Errorf("%s calls %s: a change is an act (internal/act), which the face calls", name, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

// ofActs says whether something is called of the acts, which have names like the statements'.
func ofActs(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "acts"
	case *ast.SelectorExpr:
		return x.Sel.Name == "acts"
	}
	return false
}

// sources are the parsed files of a room, without its tests, by their path in the house.
func sources(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	root := filepath.Join("..", "..", filepath.FromSlash(dir))
	files, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*ast.File{}
	for _, e := range files {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if out[path.Join(dir, name)], err = parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

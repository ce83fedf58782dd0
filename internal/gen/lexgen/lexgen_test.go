package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLiteral(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:      `{}`,
		`[1, 2,]`: `[1,2]`,
		"{\n  a: 'x',\n  'b-c': \"it's\",\n  d: [true, false, -3,],\n};":                             `{"a":"x","b-c":"it's","d":[true,false,-3]}`,
		`{ description: 'long', properties: { description: { type: 'string', description: "x" } } }`: `{"properties":{"description":{"type":"string"}}}`,
		`{ ref: 'lex:com.atproto.repo.strongRef', t: 'a\'b\n<\u00e9' }`:                              `{"ref":"com.atproto.repo.strongRef","t":"a'b\n<é"}`,
	} {
		got, _, err := literalToJSON([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	// Nothing that would have to be executed is taken for data.
	for _, in := range []string{``, `{`, `{a}`, `{a:}`, `{a: b}`, `{a: f()}`, `{a: 1.5}`, "{a: `x`}", `{...x}`, `{a: 'x}`, `{a: 'x\q'}`, `[1 2]`, `{a: 1 b: 2}`} {
		if got, rest, err := literalToJSON([]byte(in)); err == nil && rest == len(in) {
			t.Errorf("%s gives %s", in, got)
		}
	}
}

func TestCatalogue(t *testing.T) {
	src := "import x\nexport const schemaDict = {\n  B: { lexicon: 1, id: 'b.b.b', defs: {} },\n  A: { lexicon: 1, id: 'a.a.a', defs: {} },\n};\nexport const y = 1"
	b, err := makeCatalogue([]byte(src), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	h, lines, _, err := splitCatalogue(b)
	if err != nil || h.Version != "1.2.3" || len(lines) != 2 || !bytes.Contains(lines[0], []byte("a.a.a")) {
		t.Errorf("%+v %q %v", h, lines, err)
	}
	if _, _, _, err := splitCatalogue(bytes.Replace(b, []byte("b.b.b"), []byte("c.c.c"), 1)); err == nil {
		t.Error("a change by hand goes unnoticed")
	}
	if _, err := makeCatalogue([]byte(strings.Replace(src, "lexicon: 1", "lexicon: 2", 1)), ""); err == nil {
		t.Error("a document of another lexicon version is taken")
	}
}

// Our own documents stand behind the package's, and each is where its name says.
func TestOwn(t *testing.T) {
	b, err := makeCatalogue([]byte("export const schemaDict = {\n  B: { lexicon: 1, id: 'b.b.b', defs: {} } }"), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("org/a/x.json", `{ "lexicon": 1, "id": "org.a.x", "defs": {} }`)
	for range 2 { // what was there of ours is replaced
		if b, err = replaceOwn(b, dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, lines, own, err := splitCatalogue(b); err != nil || len(lines) != 1 || len(own) != 1 || string(own[0]) != `{"lexicon":1,"id":"org.a.x","defs":{}}` {
		t.Errorf("%q %q %v", lines, own, err)
	}
	write("org/a/y.json", `{ "lexicon": 1, "id": "org.a.z", "defs": {} }`)
	if _, err := replaceOwn(b, dir); err == nil {
		t.Error("a document in another's place is taken")
	}
}

// What is committed is what the committed documents and catalogue give.
func TestCommitted(t *testing.T) {
	catalogue, err := os.ReadFile("../../lexicon/catalogue.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if want, err := replaceOwn(catalogue, "../../lexicon/own"); err != nil || !bytes.Equal(catalogue, want) {
		t.Errorf("internal/lexicon/catalogue.jsonl is not what internal/lexicon/own gives: make generate (%v)", err)
	}
	extensions, err := os.ReadFile("../../lexicon/extensions.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := makeTypes(catalogue, extensions, strings.Split(defaultMethods, ","))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../handlers/lexicon_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("handlers/lexicon_gen.go is not what the catalogue gives: make generate")
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{"com.atproto.repo.createRecord": "repoCreateRecord", "com.atproto.server.defs": "serverDefs", "org.auroralocus.server.getUsage": "locusServerGetUsage"} {
		if got := goName(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	for in, want := range map[string]string{"did": "DID", "didDoc": "DIDDoc", "uri": "URI", "repoCommit": "RepoCommit", "$type": "Type", "rkey": "Rkey"} {
		if got := fieldName(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

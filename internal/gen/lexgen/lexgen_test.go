package main

import (
	"bytes"
	"os"
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
	h, lines, err := splitCatalogue(b)
	if err != nil || h.Version != "1.2.3" || len(lines) != 2 || !bytes.Contains(lines[0], []byte("a.a.a")) {
		t.Errorf("%+v %q %v", h, lines, err)
	}
	if _, _, err := splitCatalogue(bytes.Replace(b, []byte("b.b.b"), []byte("c.c.c"), 1)); err == nil {
		t.Error("a change by hand goes unnoticed")
	}
	if _, err := makeCatalogue([]byte(strings.Replace(src, "lexicon: 1", "lexicon: 2", 1)), ""); err == nil {
		t.Error("a document of another lexicon version is taken")
	}
}

// What is committed is what the committed catalogue gives.
func TestCommitted(t *testing.T) {
	catalogue, err := os.ReadFile("../../lexicon/catalogue.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	want, err := makeTypes(catalogue, strings.Split(defaultMethods, ","))
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
	for in, want := range map[string]string{"com.atproto.repo.createRecord": "repoCreateRecord", "com.atproto.server.defs": "serverDefs"} {
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

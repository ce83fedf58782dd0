package handlers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/danielgtaylor/huma/v2"
)

// Nothing in the document goes without a description: operations, parameters, members, errors, bodies, namespaces.
func TestDocumentDescribesAll(t *testing.T) {
	t.Parallel()
	s := New(testDeps(new(witness)))
	doc := s.Document()
	missing := func(what, text string) {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no description", what)
		}
	}
	for _, tag := range doc.Tags {
		missing("namespace "+tag.Name, tag.Description)
	}
	for name, c := range doc.Components.Schemas.Map() {
		members(name, c, missing)
	}
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post} {
			if op == nil {
				continue
			}
			missing(path, op.Description)
			missing(path+" (summary)", op.Summary)
			if op.Security == nil {
				t.Errorf("%s: says nothing of who may call", path)
			}
			for _, p := range op.Parameters {
				missing(path+" parameter "+p.Name, p.Description)
			}
			if op.RequestBody != nil {
				missing(path+" body", op.RequestBody.Description)
				exampleFits(t, s, path+" body", op.RequestBody.Content)
			}
			for status, r := range op.Responses {
				missing(path+" "+status, r.Description)
				if status == "200" {
					exampleFits(t, s, path+" answer", r.Content)
				}
			}
		}
	}
}

// Every error that a method may answer with says when, and no word is left over that nobody asks for.
func TestDocumentErrorsAndWords(t *testing.T) {
	t.Parallel()
	s := New(testDeps(new(witness)))
	used := map[string]bool{}
	for nsid, op := range s.Operations {
		all := append(op.Declared(), generalErrors...)
		for _, kinds := range gateErrors {
			all = append(all, kinds...)
		}
		for _, k := range all {
			if documentWords.When(nsid, k.Name) == "" {
				t.Errorf("%s: nothing says when %s happens", nsid, k.Name)
			}
			used[k.Name], used[nsid+" "+k.Name] = true, true
		}
	}
	for name := range documentErrors {
		if !used[name] {
			t.Errorf("no method answers with %q", name)
		}
	}
	text := string(s.JSON())
	for name, f := range documentFields {
		of, _, both := strings.Cut(name, " ")
		if both && of == "format" || f.Text == "" {
			continue
		}
		quoted, _ := json.Marshal(f.Text)
		if !strings.Contains(text, string(quoted)) {
			t.Errorf("nothing in the document is described as %q", name)
		}
	}
}

func members(name string, s *huma.Schema, missing func(what, text string)) {
	for member, m := range s.Properties {
		missing(name+"."+member, m.Description)
		members(name+"."+member, m, missing)
	}
	for _, part := range s.AllOf {
		members(name, part, missing)
	}
}

// exampleFits holds an example against the schema that it is one of.
func exampleFits(t *testing.T, s *xrpc.Server, what string, content map[string]*huma.MediaType) {
	t.Helper()
	m := content["application/json"]
	if m == nil {
		return
	}
	b, err := json.Marshal(m.Example)
	if err != nil || m.Example == nil {
		t.Errorf("%s: no example (%v)", what, err)
		return
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	var res huma.ValidateResult
	huma.Validate(s.Document().Components.Schemas, m.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, &res)
	for _, err := range res.Errors {
		t.Errorf("%s: the example %s does not fit: %v", what, b, err)
	}
}

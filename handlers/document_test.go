package handlers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"

	"gopkg.in/yaml.v3"
)

// TestDocument holds the committed document against the registered methods.
func TestDocument(t *testing.T) {
	b, err := New(testDeps(new(witness))).YAML()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../openapi/openapi.yaml", b)
}

// TestDocumentForGenerators checks what generators of clients stumble over.
func TestDocumentForGenerators(t *testing.T) {
	s, _ := exampleServer(t)
	var doc struct {
		Paths      map[string]map[string]map[string]any
		Components struct {
			Schemas map[string]map[string]any
		}
	}
	if err := json.Unmarshal(s.JSON(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Paths) != len(s.Operations) {
		t.Errorf("%d paths, %d methods", len(doc.Paths), len(s.Operations))
	}
	ids := map[any]bool{}
	for path, item := range doc.Paths {
		for _, op := range item {
			if op["operationId"] != strings.TrimPrefix(path, "/xrpc/") || ids[op["operationId"]] {
				t.Errorf("%s: operationId %v", path, op["operationId"])
			}
			ids[op["operationId"]] = true
			responses := op["responses"].(map[string]any)
			for _, status := range []string{"200", "400", "default"} {
				if responses[status] == nil {
					t.Errorf("%s: no answer %s", path, status)
				}
			}
			if responses["422"] != nil || responses["204"] != nil {
				t.Errorf("%s: answers it never gives: %v", path, responses)
			}
		}
	}
	var refs func(v any)
	refs = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")] == nil {
				t.Errorf("dangling %s", ref)
			}
			for _, x := range v {
				refs(x)
			}
		case []any:
			for _, x := range v {
				refs(x)
			}
		}
	}
	var whole any
	if err := json.Unmarshal(s.JSON(), &whole); err != nil {
		t.Fatal(err)
	}
	refs(whole)
	create := doc.Components.Schemas["RepoCreateRecordInputBody"]
	if required, _ := json.Marshal(create["required"]); string(required) != `["repo","collection","record"]` {
		t.Errorf("createRecord requires %s", required)
	}
	if strings.Contains(string(s.JSON()), `"explode":false`) {
		t.Error("a parameter says explode: false")
	}
	y, err := s.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := yaml.Unmarshal(y, &back); err != nil || back["openapi"] != "3.1.0" {
		t.Errorf("yaml: %v %v", err, back["openapi"])
	}
}

// Every method of com.atproto has a summary for the day it is registered.
func TestSummaries(t *testing.T) {
	for nsid, m := range lexicons {
		if m.Kind != xrpc.SubscriptionKind && summaries[nsid] == "" {
			t.Errorf("%s has no summary", nsid)
		}
	}
}

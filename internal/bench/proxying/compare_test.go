package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	list := []request{{name: "a"}, {name: "b/c"}, {name: "d"}}
	reference := recorded{"a": {"answer.status": "200", "calls": "1"}, "b/c": {"answer.status": "200"}, "d": {"calls": "1"}}
	ours := recorded{"a": {"answer.status": "400", "calls": "1"}, "b/c": {"answer.status": "200", "call1.method": "GET"}, "d": {"calls": "1"}}
	got := differences(list, reference, ours)
	want := []difference{{"a", "answer.status", "200", "400"}, {"b/c", "call1.method", "", "GET"}}
	if !slices.Equal(got, want) {
		t.Fatal(got)
	}
	status := reason{requests: []string{"a"}, fields: []string{"answer.*"}, ours: "400", why: "status"}
	calls := reason{requests: []string{"b*"}, fields: []string{"call1.method"}, why: "calls"}
	for _, tt := range []struct {
		reasons []reason
		good    bool
		says    string
	}{
		{[]reason{status, calls}, true, "2 differences for 2 reasons"},
		{[]reason{status}, false, "DIFFERENCE b/c"},
		{[]reason{{requests: []string{"*"}, fields: []string{"*"}, why: "all"}, calls}, false, "NEEDLESS"},
		{[]reason{{requests: []string{"a"}, fields: []string{"answer.*"}, ours: "401", why: "another"}, calls}, false, "DIFFERENCE a"},
	} {
		var b strings.Builder
		if good := judge(&b, got, tt.reasons, false); good != tt.good || !strings.Contains(b.String(), tt.says) {
			t.Errorf("%v, %s", good, b.String())
		}
	}
}

func TestUnverified(t *testing.T) {
	list := []request{{name: "a"}}
	var b strings.Builder
	if !unverified(&b, list, recorded{"a": {"call1.token.verified": "yes"}}) || unverified(&b, list, recorded{"a": {"call1.token.verified": "jwt expired", "call1.token.iss": "{alice}"}}) {
		t.Error(b.String())
	}
	if !unverified(&b, list, recorded{"a": {"call1.token.verified": "no token"}}) {
		t.Error("a call without a token is no bad token")
	}
}

// What is kept of the reference is about the requests that there are.
func TestKept(t *testing.T) {
	kept, err := load(filepath.Join("testdata", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range requests() {
		if names[r.name] {
			t.Errorf("two requests are called %q", r.name)
		}
		names[r.name] = true
		if kept[r.name] == nil {
			t.Errorf("the reference was not asked %q: make compare-reference ARGS=-record", r.name)
		}
	}
	if len(kept) != len(names) {
		t.Errorf("%d requests, %d kept", len(names), len(kept))
	}
}

func TestNames(t *testing.T) {
	s := &server{host: "localhost:1", service: "127.0.0.1:2", dids: map[string]string{"did:plc:x": "{alice}"}}
	if got := s.filled("{alice} {own}"); got != "did:plc:x did:web:localhost%3A2" {
		t.Error(got)
	}
	if got := s.named("at://did:plc:x http://localhost:1 http://127.0.0.1:2 did:web:localhost%3A2#x"); got != "at://{alice} http://{server} http://{service} {own}#x" {
		t.Error(got)
	}
}

package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/danielgtaylor/huma/v2"
)

// lexdoc reads the lexicon documents by itself, so that what walks over all methods does not trust the reader it tests.
type lexdoc map[string]obj // by full reference

func readLexicons(t *testing.T) lexdoc {
	t.Helper()
	docs := lexdoc{}
	text, err := os.ReadFile("../internal/lexicon/catalogue.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var doc struct {
			ID   string
			Defs map[string]obj
		}
		if err := json.Unmarshal(line, &doc); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		for name, d := range doc.Defs {
			docs[doc.ID+"#"+name] = d
		}
	}
	text, err = os.ReadFile("../internal/lexicon/extensions.json")
	if err != nil {
		t.Fatal(err)
	}
	var more map[string]obj
	if err := json.Unmarshal(text, &more); err != nil {
		t.Fatal(err)
	}
	for ref, members := range more {
		of := docs[ref]
		if in, ok := of["input"].(map[string]any); ok {
			of = obj(in["schema"].(map[string]any))
		}
		for name, d := range members {
			of["properties"].(map[string]any)[name] = d
		}
	}
	return docs
}

// follow is a definition with its reference followed, and the document it is from.
func (l lexdoc) follow(id string, d obj) (string, obj) {
	if d["type"] != "ref" {
		return id, d
	}
	ref := d["ref"].(string)
	if strings.HasPrefix(ref, "#") {
		ref = id + ref
	}
	if !strings.Contains(ref, "#") {
		ref += "#main"
	}
	to, _, _ := strings.Cut(ref, "#")
	return to, l[ref]
}

// badValue is a value at a place, and how the refusal calls that place.
type badValue struct {
	where string
	value any
}

// badValues are those a definition does not take: every other kind, null, and what its own bounds exclude.
func (l lexdoc) badValues(id string, d obj, nullable bool, depth int) []badValue {
	id, d = l.follow(id, d)
	var out []badValue
	add := func(values ...any) {
		for _, v := range values {
			out = append(out, badValue{"", v})
		}
	}
	kinds := map[string]any{"string": "a text", "integer": 7, "boolean": true, "array": list{}, "object": obj{}}
	kind := d["type"].(string)
	like := kind
	if kind == "union" || kind == "unknown" {
		like = "object"
	}
	for k, v := range kinds {
		if k != like {
			add(v)
		}
	}
	if !nullable {
		add(nil)
	}
	switch kind {
	case "integer":
		add(json.Number("1.5"), json.Number("1.0"), json.Number("1e3"), json.Number("99999999999999999999"))
		if v, ok := d["maximum"].(float64); ok {
			add(json.Number(fmt.Sprint(int64(v) + 1)))
		}
		if v, ok := d["minimum"].(float64); ok {
			add(json.Number(fmt.Sprint(int64(v) - 1)))
		}
	case "string":
		if f, ok := d["format"].(string); ok {
			for _, text := range append(badTexts(f), "") {
				if text != "\xff\xfe" {
					add(text)
				}
			}
		}
		if n, ok := d["maxLength"].(float64); ok {
			add(strings.Repeat("x", int(n)+1))
		}
		if d["enum"] != nil {
			add("none of them")
		}
	case "array":
		for _, bad := range l.badValues(id, d["items"].(map[string]any), false, depth+1) {
			out = append(out, badValue{"[0]" + bad.where, list{bad.value}})
		}
		if n, ok := d["maxLength"].(float64); ok && n < 2000 {
			add(slices.Repeat(list{"a.b.c"}, int(n)+1))
		}
	case "union":
		add(obj{"$type": 1}, obj{"$type": nil})
		if d["closed"] == true {
			add(obj{"$type": "com.example.other"})
		}
		for _, r := range d["refs"].([]any) {
			ref := r.(string)
			if strings.HasPrefix(ref, "#") {
				ref = id + ref
			}
			if !strings.Contains(ref, "#") {
				add(obj{"$type": ref + "#main"})
			}
			if depth > 2 {
				continue
			}
			for _, bad := range l.badMembers(id, obj{"type": "ref", "ref": ref}, depth+1) {
				bad.value.(obj)["$type"] = ref
				out = append(out, bad)
			}
		}
	case "object":
		if depth <= 2 {
			out = append(out, l.badMembers(id, d, depth+1)...)
		}
	}
	return out
}

// badMembers are objects each of which has one member that is wrong.
func (l lexdoc) badMembers(id string, d obj, depth int) []badValue {
	id, d = l.follow(id, d)
	nullable, _ := d["nullable"].([]any)
	var out []badValue
	properties, _ := d["properties"].(map[string]any)
	for name, p := range properties {
		for _, bad := range l.badValues(id, p.(map[string]any), slices.Contains(nullable, any(name)), depth) {
			where := "." + name + bad.where
			out = append(out, badValue{where, obj{name: bad.value}})
		}
	}
	required, _ := d["required"].([]any)
	for _, r := range required {
		if _, has := properties[r.(string)].(map[string]any)["default"]; !has && len(required) == 1 {
			out = append(out, badValue{"." + r.(string), obj{}})
		}
	}
	return out
}

// TestStrictBodies: whatever a method's lexicon says of its input is held, for every member at every depth of every
// method: null where it is not allowed, another kind, a text that is not of its format, a number out of its bounds.
func TestStrictBodies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	docs := readLexicons(t)
	before, _ := alice.head()
	tried, methods := 0, 0
	for _, nsid := range h.sorted() {
		if h.server.Operations[nsid].Input != "application/json" {
			continue
		}
		methods++
		auth := h.credentials(nsid, alice)
		input := docs[nsid+"#main"]["input"].(map[string]any)["schema"].(map[string]any)
		for _, bad := range docs.badMembers(nsid, input, 0) {
			tried++
			r := h.raw("POST", hostA, "/xrpc/"+nsid, bad.value, auth)
			var e struct{ Error, Message string }
			where, _ := strings.CutPrefix(bad.where, ".")
			if err := json.Unmarshal(r.body, &e); r.status != 400 || err != nil || e.Error != "InvalidRequest" || !strings.HasPrefix(e.Message, where+" ") && !strings.HasPrefix(e.Message, where+"[") {
				t.Errorf("%s, %s: %.80v: %d %.300s", nsid, where, bad.value, r.status, r.body)
			}
		}
	}
	if now, _ := alice.head(); now != before {
		t.Error("a body that was refused made a commit")
	}
	if methods < 25 || tried < 1000 {
		t.Errorf("%d bodies of %d methods", tried, methods)
	}
	t.Logf("%d bodies of %d methods", tried, methods)
	h.check()
}

// TestStrictParams: the same for every parameter of every query and subscription. Booleans are "true" and "false",
// integers are digits, what is no array is given once, and nothing is the same as not given.
func TestStrictParams(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	docs := readLexicons(t)
	tried := 0
	for nsid, op := range h.server.Operations {
		if op.Kind == xrpc.ProcedureKind {
			continue
		}
		params, _ := docs[nsid+"#main"]["parameters"].(map[string]any)
		properties, _ := params["properties"].(map[string]any)
		required, _ := params["required"].([]any)
		ask := func(query string) (int, string) {
			tried++
			r := h.raw("GET", hostA, "/xrpc/"+nsid+"?"+query, nil, h.credentials(nsid, alice))
			var e struct{ Error, Message string }
			_ = json.Unmarshal(r.body, &e)
			if e.Error != "InvalidRequest" {
				e.Message = ""
			}
			return r.status, e.Message
		}
		for name, p := range properties {
			d := obj(p.(map[string]any))
			isArray := d["type"] == "array"
			if isArray {
				d = d["items"].(map[string]any)
			}
			refused := func(query string) {
				t.Helper()
				if status, message := ask(query); status != 400 || !strings.HasPrefix(message, name+" ") && !strings.HasPrefix(message, name+"[") {
					t.Errorf("%s?%.80s: %d %s", nsid, query, status, message)
				}
			}
			var bad []string
			good := "x"
			switch d["type"] {
			case "boolean":
				good = "true"
				bad = []string{"1", "0", "TRUE", "True", "t", "f", "F", "yes", "on", "null", "2", " true", "true ", "１"}
			case "integer":
				good = "7"
				bad = []string{"x", "1.0", "1.5", "1e3", "+1", "0x10", "0b1", "1_000", " 1", "1 ", "--1", "-", "null", "99999999999999999999", "١", "NaN"}
				if v, ok := d["maximum"].(float64); ok {
					bad = append(bad, fmt.Sprint(int64(v)+1))
				}
				if v, ok := d["minimum"].(float64); ok {
					bad = append(bad, fmt.Sprint(int64(v)-1))
				}
			case "string":
				if f, ok := d["format"].(string); ok {
					bad = badTexts(f)
				}
				if n, ok := d["maxLength"].(float64); ok {
					bad = append(bad, strings.Repeat("x", int(n)+1))
				}
				if d["enum"] != nil {
					bad = append(bad, "none of them")
				}
				f, _ := d["format"].(string)
				enum, _ := d["enum"].([]any)
				good = text(param{schema: &huma.Schema{Type: huma.TypeString, Format: f, Enum: enum}}.good())
			}
			for _, text := range bad {
				refused(name + "=" + url.QueryEscape(text))
			}
			refused(name + "=%zz")
			refused(name + "=%ff")
			if !isArray {
				refused(name + "=" + url.QueryEscape(good) + "&" + name + "=" + url.QueryEscape(good))
				refused("%" + fmt.Sprintf("%x", name[0]) + name[1:] + "=" + url.QueryEscape(good) + "&" + name + "=" + url.QueryEscape(good))
			}
			for _, nothing := range []string{name + "=", name, name + "=&" + name + "=", "other=1&other=2&" + name} {
				if slices.Contains(required, any(name)) {
					if status, message := ask(nothing); status != 400 || !strings.HasSuffix(message, " is required") {
						t.Errorf("%s?%s: %d %s", nsid, nothing, status, message)
					}
				} else if _, message := ask(nothing); strings.HasPrefix(message, name+" ") {
					t.Errorf("%s?%s: %s", nsid, nothing, message)
				}
			}
			if d["type"] == "boolean" {
				for _, ok := range []string{"true", "false"} {
					if _, message := ask(name + "=" + ok); strings.HasPrefix(message, name+" ") {
						t.Errorf("%s?%s=%s: %s", nsid, name, ok, message)
					}
				}
			}
		}
	}
	if tried < 1000 {
		t.Errorf("%d queries", tried)
	}
	t.Logf("%d queries", tried)
	h.check()
}

// TestNothingIsNoBody: a body of no bytes is none, however it is announced.
func TestNothingIsNoBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	stream := func(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }
	for _, nsid := range h.sorted() {
		op := h.server.Operations[nsid]
		if op.Input != "" || op.Kind != xrpc.ProcedureKind {
			continue
		}
		if nsid == "com.atproto.server.deleteSession" || nsid == "com.atproto.server.refreshSession" {
			continue // each would end the session that the next one needs
		}
		if r := h.raw("POST", hostA, "/xrpc/"+nsid, stream("x"), h.credentials(nsid, alice)); r.status != 400 || !strings.Contains(string(r.body), "none was expected") {
			t.Errorf("%s with a body: %d %s", nsid, r.status, r.body)
		}
		if r := h.raw("POST", hostA, "/xrpc/"+nsid, stream(""), h.credentials(nsid, alice)); strings.Contains(string(r.body), "none was expected") || r.status == 408 || r.status >= 500 {
			t.Errorf("%s with nothing: %d %s", nsid, r.status, r.body)
		}
	}
	// Null means something where the lexicon says so: the record must not be there.
	alice.create(custom, "self", obj{"a": 1}).ok()
	alice.call("com.atproto.repo.putRecord", obj{"repo": alice.did, "collection": custom, "rkey": "self", "swapRecord": nil, "record": obj{"$type": custom, "a": 2}}).fails(400, "InvalidSwap", "")
	alice.call("com.atproto.repo.putRecord", obj{"repo": alice.did, "collection": custom, "rkey": "self", "record": obj{"$type": custom, "a": 2}}).ok()
	h.check()
}

// TestNoMailForDIDWeb: an account with a did:web has no PLC operations, so it gets no code to sign one.
func TestNoMailForDIDWeb(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	const did = "did:web:alice.example.com"
	h.exec(h.a, "UPDATE pds.actor SET did = $1 WHERE did = $2", did, alice.did)
	r := h.post(hostA, createSession, "", obj{"identifier": alice.handle, "password": userPassword}).ok()
	web := &user{h, hostA, did, alice.handle, r.str("accessJwt"), ""}
	web.call("com.atproto.identity.requestPlcOperationSignature", nil).fails(400, "InvalidRequest", did+" has no PLC operations")
	web.call("com.atproto.server.requestAccountDelete", nil).ok() // other codes it gets
}

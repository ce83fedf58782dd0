package handlers

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/danielgtaylor/huma/v2"
)

// sorted are the methods' names, without subscriptions.
func (h *house) sorted() []string {
	var names []string
	for nsid, op := range h.server.Operations {
		if op.Kind != xrpc.SubscriptionKind {
			names = append(names, nsid)
		}
	}
	sort.Strings(names)
	return names
}

// credentials are what a call of a method needs to be let in.
func (h *house) credentials(nsid string, u *user) string {
	switch h.server.Operations[nsid].Class {
	case "account", "overseen", "viewer":
		return bearer(u.access)
	case "refresh":
		return bearer(u.refresh)
	case "operator":
		return asAdmin()
	}
	return ""
}

// TestBadParameters: every parameter and every member of every method that has a format gets texts that are not of it,
// and numbers and booleans get others: 400, with the parameter's name, never the text, never 500.
func TestBadParameters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	tried := 0
	refused := func(nsid, name, bad string, r reply) {
		t.Helper()
		tried++
		var e struct{ Error, Message string }
		if err := json.Unmarshal(r.body, &e); r.status != 400 || err != nil || e.Error != "InvalidRequest" || !strings.Contains(e.Message, name) {
			t.Errorf("%s, %s=%.60q: %d %.300s", nsid, name, bad, r.status, r.body)
		}
		if len(bad) > 8 && strings.Contains(e.Message, bad) {
			t.Errorf("%s, %s: the bad text is echoed: %.300s", nsid, name, r.body)
		}
	}
	for _, nsid := range h.sorted() {
		op := h.server.Operations[nsid]
		auth := h.credentials(nsid, alice)
		for _, p := range h.queryParams(nsid) {
			bad := badTexts(p.schema.Format)
			switch {
			case p.schema.Type == huma.TypeInteger:
				bad = []string{"x", "1.5", "1e3", "", "0x10", " 1", "99999999999999999999", "１", "NaN"}
				if p.schema.Minimum != nil {
					bad = append(bad, fmt.Sprint(*p.schema.Minimum-1), fmt.Sprint(*p.schema.Maximum+1))
				}
			case p.schema.Type == huma.TypeBoolean:
				bad = []string{"x", "yes", "2", "TRUE ", "１"}
			case p.schema.Format == "":
				continue
			}
			for _, text := range bad {
				if text == "" {
					continue // an empty parameter is an absent one
				}
				refused(nsid, p.name, text, h.raw("GET", hostA, "/xrpc/"+nsid+h.goodQuery(nsid, p.name, text), nil, auth))
			}
			// In front of the caller.
			if p.schema.Format != "" {
				refused(nsid, p.name, "x x", h.raw("GET", hostA, "/xrpc/"+nsid+h.goodQuery(nsid, p.name, "x x"), nil, "Authorization: Bearer junk"))
			}
			if p.required {
				var kv []string
				for _, other := range h.queryParams(nsid) {
					if other.required && other.name != p.name {
						kv = append(kv, other.name, text(other.good()))
					}
				}
				refused(nsid, p.name, "", h.raw("GET", hostA, "/xrpc/"+nsid+params(kv...), nil, auth))
				refused(nsid, p.name, "", h.raw("GET", hostA, "/xrpc/"+nsid+params(append(kv, p.name, "")...), nil, auth))
			}
		}
		if op.Input != "application/json" {
			continue
		}
		good := h.goodBody(nsid)
		if strings.Contains(nsid, ".repo.") {
			good["repo"] = alice.did
		}
		send := func(name string, v any) reply {
			in := obj{}
			for k, old := range good {
				in[k] = old
			}
			in[name] = v
			return h.raw("POST", hostA, "/xrpc/"+nsid, in, auth)
		}
		for _, p := range h.bodyParams(nsid) {
			wrap := func(v any) any {
				if p.array {
					return []any{v}
				}
				return v
			}
			if p.schema.Type == huma.TypeString && p.schema.Format != "" {
				for _, text := range append(badTexts(p.schema.Format), "") {
					if text == "\xff\xfe" {
						continue // JSON's own business: TestMalformedJSON
					}
					refused(nsid, p.name, text, send(p.name, wrap(text)))
				}
			}
			for _, v := range []any{1, 1.5, true, "x", list{}, list{1}, obj{}, obj{"a": 1}, nil} {
				r := send(p.name, wrap(v))
				tried++
				if r.status >= 500 {
					t.Errorf("%s, %s=%v: %d %s", nsid, p.name, v, r.status, r.body)
				}
				if r.status == 200 && !plausible(p, v) {
					t.Errorf("%s took %v for %s (%s %s)", nsid, v, p.name, p.schema.Type, p.schema.Format)
				}
			}
			if p.required {
				in := obj{}
				for k, v := range good {
					in[k] = v
				}
				delete(in, p.name)
				refused(nsid, p.name, "", h.raw("POST", hostA, "/xrpc/"+nsid, in, auth))
				in[strings.ToUpper(p.name)] = good[p.name] // case counts
				refused(nsid, p.name, "", h.raw("POST", hostA, "/xrpc/"+nsid, in, auth))
			}
		}
	}
	h.check()
	t.Logf("%d bad values", tried)
}

// plausible tells whether a value of this kind may stand for a parameter.
func plausible(p param, v any) bool {
	if p.array {
		return true // an empty element or list may do; formats were looked at one by one
	}
	switch v.(type) {
	case int:
		return p.schema.Type == huma.TypeInteger || p.schema.Type == ""
	case bool:
		return p.schema.Type == huma.TypeBoolean || p.schema.Type == ""
	case string:
		return p.schema.Type == huma.TypeString && (p.schema.Format == "" || p.schema.Format == "record-key") || p.schema.Type == ""
	case obj:
		return p.schema.Type == huma.TypeObject || p.schema.Type == ""
	case nil:
		return !p.required || p.schema.Nullable
	}
	return p.schema.Type == ""
}

// TestMalformedJSON: what is not JSON as the specification has it is refused by every method with a body.
func TestMalformedJSON(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	before, _ := alice.head()
	deep := func(n int, open, shut string) string { return strings.Repeat(open, n) + strings.Repeat(shut, n) }
	for _, nsid := range h.sorted() {
		if h.server.Operations[nsid].Input != "application/json" {
			continue
		}
		auth := h.credentials(nsid, alice)
		good := h.goodBody(nsid)
		if strings.Contains(nsid, ".repo.") {
			good["repo"] = alice.did
		}
		whole, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		w := string(whole)
		name := "x"
		for k := range good {
			name = k
		}
		for _, body := range []string{
			"{", "}", "[", "nul", "null", "true", "1", `"text"`, "[]", "[{}]", " ", "\x00", "\xef\xbb\xbf" + w, // a byte-order mark
			w[:len(w)-1], w + w, w + "x", w + "\x00", "x" + w, `{,` + w[1:], w[:len(w)-1] + ",}", strings.ReplaceAll(w, `"`, `'`),
			`{"` + name + `":"x","` + name + `":"x"}`, `{"a":1,"a":2,` + w[1:], `{"a":{"b":1,"b":1},` + w[1:], `{"a":1,"\u0061":2,` + w[1:],
			`{"a":"\ud800",` + w[1:], `{"a":"\udfff\ud800",` + w[1:], `{"a":"` + "\xff" + `",` + w[1:], `{"` + "\xc0\x80" + `":1,` + w[1:], `{"a":"` + "\x01" + `",` + w[1:],
			`{"a":01,` + w[1:], `{"a":.5,` + w[1:], `{"a":+1,` + w[1:], `{"a":0x10,` + w[1:], `{"a":NaN,` + w[1:], `{"a":Infinity,` + w[1:], `{"a":"\x41",` + w[1:], `{"a":"\u12"}`,
			`{a:1,` + w[1:], `// comment` + "\n" + w, `{"a":` + deep(20_000, "[", "]") + `,` + w[1:], `{"a":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) + `,` + w[1:],
			deep(70_000, "[", "]"), deep(70_000, "[", ""), strings.Repeat(`{"":`, 30_000),
		} {
			if strings.TrimSpace(body) == w {
				continue // nothing is required here
			}
			r := h.raw("POST", hostA, "/xrpc/"+nsid, body, auth, jsonBody)
			if len(body) > 150<<10 && r.status == 413 {
				continue
			}
			r.what = fmt.Sprintf("%s %.80q", nsid, body)
			r.fails(400, "InvalidRequest", "")
		}
	}
	if now, _ := alice.head(); now != before {
		t.Error("a malformed body made a commit")
	}
	h.check()
}

// TestRandomRequests sends what nobody would: whatever it is, nothing breaks inside.
func TestRandomRequests(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	names := h.sorted()
	pick := func(s []string) string { return s[rng.IntN(len(s))] }
	words := []string{"", " ", "\x00", "\xff", "did:plc:ewvi7nxzyoun6zhxrhs64oiz", alice.did, alice.handle, custom, post, "self", "3jqfcqzm3fo2j", "null", "-1", "1", "9223372036854775807",
		"9223372036854775808", "true", "..", "../..", "%00", "%", "🦋", "a/b", "?", "#", "&", "=", "$type", "$link", "$bytes", "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
		"bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy", "com.atproto.repo.applyWrites#create", strings.Repeat("x", 3000), "\u202e", "'", `"`, `\`, "a.b.c", createdAt}
	var value func(depth int) any
	value = func(depth int) any {
		switch n := rng.IntN(10); {
		case n < 2 && depth < 5:
			o := obj{}
			for range rng.IntN(4) {
				o[strings.ToValidUTF8(pick(words), "?")] = value(depth + 1)
			}
			return o
		case n < 3 && depth < 5:
			var l list
			for range rng.IntN(4) {
				l = append(l, value(depth+1))
			}
			return l
		case n < 4:
			return rng.Int64() - 1<<62
		case n < 5:
			return nil
		case n < 6:
			return rng.IntN(2) == 0
		}
		return strings.ToValidUTF8(pick(words), "?")
	}
	auths := []string{"", bearer(alice.access), bearer(alice.access), bearer(alice.access), bearer(alice.refresh), asAdmin(), "Authorization: " + strings.Repeat("x", 500), "Authorization: Basic !", "Authorization: Bearer ..", "Authorization: Basic " + strings.Repeat("QUFB", 500)}
	types := []string{jsonBody, jsonBody, jsonBody, "Content-Type: text/plain", "Content-Type: ;", "Content-Type: application/vnd.ipld.car", ""}
	for i := range 1500 {
		nsid := pick(names)
		op := h.server.Operations[nsid]
		if slices.Contains([]string{"com.atproto.admin.deleteAccount", "com.atproto.server.deleteAccount", "com.atproto.server.createInviteCodes"}, nsid) {
			continue // they may do what they say
		}
		q := url.Values{}
		for _, p := range h.queryParams(nsid) {
			if rng.IntN(4) > 0 {
				q.Add(p.name, text(p.good()))
			}
			if rng.IntN(3) == 0 {
				q.Add(p.name, pick(words))
			}
		}
		verb := op.Kind.Verb()
		if rng.IntN(20) == 0 {
			verb = pick([]string{"GET", "POST", "PUT", "HEAD", "DELETE", "TRACE", "BREW"})
		}
		var body any
		if op.Input != "" && verb != "GET" || rng.IntN(10) == 0 {
			in := h.goodBody(nsid)
			if _, ok := in["repo"]; ok {
				in["repo"] = alice.did
			}
			for _, p := range h.bodyParams(nsid) {
				if rng.IntN(3) == 0 {
					in[p.name] = value(0)
				}
			}
			b, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			for rng.IntN(3) == 0 && len(b) > 0 { // and some damage
				switch at := rng.IntN(len(b)); rng.IntN(3) {
				case 0:
					b = b[:at]
				case 1:
					b[at] = byte(rng.IntN(256))
				case 2:
					b = slices.Insert(b, at, b[at:min(len(b), at+20)]...)
				}
			}
			if body = b; rng.IntN(5) == 0 {
				body = strings.NewReader(string(b))
			}
		}
		target := "/xrpc/" + nsid + "?" + q.Encode()
		if rng.IntN(10) == 0 {
			target += pick([]string{"&%zz=1", "&did=%", "&&&&", "&=", "&did", ";a=b", "&limit=1&limit=2", "&%00=%00"})
		}
		host := hostA
		if rng.IntN(30) == 0 {
			host = pick([]string{"x.test", "alice.a.test", "a.test:1", "A.TEST", "a.test."})
		}
		r, err := h.try(verb, host, target, body, pick(auths), pick(types), pick([]string{"", "", "", "", "Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: x", "Accept: text/html", "Accept-Encoding: gzip", "Range: bytes=0-1", "Expect: 200"}))
		if err != nil {
			if strings.Contains(err.Error(), "invalid") || strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
				continue // the client's own refusal
			}
			t.Errorf("request %d, %s: %v", i, r.what, err)
			continue
		}
		if r.status >= 500 && r.status != 501 {
			t.Errorf("request %d, %s: %d %.300s", i, r.what, r.status, r.body)
		}
	}
	h.check()
	if r := h.post(hostA, createSession, "", obj{"identifier": alice.did, "password": userPassword}); r.status >= 500 {
		t.Errorf("after all that: %d %s", r.status, r.body)
	}
}

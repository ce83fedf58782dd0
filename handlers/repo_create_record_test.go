package handlers

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/auroralocus/locus/repo"
)

const (
	post   = "app.bsky.feed.post"
	custom = "com.example.thing" // a collection without a known lexicon
)

func TestCreateRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	r := alice.create(post, "", postRecord("one")).ok()
	h.check()
	uri := r.str("uri")
	if _, err := repo.ParseTID(rkeyOf(uri)); err != nil || !strings.HasPrefix(uri, "at://"+alice.did+"/"+post+"/") {
		t.Errorf("uri %s: %v", uri, err)
	}
	if r.str("validationStatus") != "valid" {
		t.Errorf("%s", r.body)
	}
	cid, rev := alice.head()
	if r.str("commit", "cid") != cid || r.str("commit", "rev") != rev {
		t.Errorf("commit %s, head %s %s", r.body, cid, rev)
	}
	got := alice.read(post, rkeyOf(uri)).ok()
	if got.str("uri") != uri || got.str("cid") != r.str("cid") || got.str("value", "text") != "one" {
		t.Errorf("%s", got.body)
	}
	// The repository by its handle, in any case.
	for _, name := range []string{alice.handle, "ALICE.a.test"} {
		alice.call("com.atproto.repo.createRecord", obj{"repo": name, "collection": post, "record": postRecord("two")}).ok()
	}
	h.check()
	// Nobody else's, known or not.
	bob := h.createAccount(hostA, "bob")
	for _, name := range []string{bob.did, bob.handle, "nobody.a.test", "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "alice.b.test"} {
		alice.call("com.atproto.repo.createRecord", obj{"repo": name, "collection": post, "record": postRecord("x")}).fails(401, "AuthenticationRequired", "")
		alice.call("com.atproto.repo.putRecord", obj{"repo": name, "collection": post, "rkey": "3jqfcqzm3fo2j", "record": postRecord("x")}).fails(401, "AuthenticationRequired", "")
		alice.call("com.atproto.repo.deleteRecord", obj{"repo": name, "collection": post, "rkey": "3jqfcqzm3fo2j"}).fails(401, "AuthenticationRequired", "")
		alice.call("com.atproto.repo.applyWrites", obj{"repo": name, "writes": list{}}).fails(401, "AuthenticationRequired", "")
	}
	// A record key that is taken.
	alice.create(custom, "self", obj{"n": 1}).ok()
	alice.create(custom, "self", obj{"n": 1}).fails(400, "RecordAlreadyExists", "")
	alice.create(custom, "self", obj{"n": 2}).fails(400, "RecordAlreadyExists", "")
	if n := alice.read(custom, "self").ok().at("value", "n"); fmt.Sprint(n) != "1" {
		t.Errorf("the refused create changed the record: %v", n)
	}
	// One record in two places is one block in two places.
	alice.create(custom, "twin", obj{"n": 1}).ok()
	alice.del(custom, "self").ok()
	alice.read(custom, "twin").ok()
	h.check()
	if a, _ := h.archive(alice); a.Count != 4 {
		t.Errorf("%d records", a.Count)
	}
}

// TestSwapCommit: every write with the newest commit, with another, with none such.
func TestSwapCommit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	old, _ := alice.head()
	alice.put(custom, "there", obj{"n": 0}).ok()
	n := 0
	for _, what := range []struct {
		nsid string
		in   func() obj
	}{
		{"com.atproto.repo.createRecord", func() obj { return obj{"collection": custom, "record": obj{"n": n}} }},
		{"com.atproto.repo.putRecord", func() obj { return obj{"collection": custom, "rkey": "put", "record": obj{"n": n}} }},
		{"com.atproto.repo.putRecord", func() obj { return obj{"collection": custom, "rkey": "put", "record": obj{"n": n}} }},
		{"com.atproto.repo.deleteRecord", func() obj { return obj{"collection": custom, "rkey": "there"} }},
		{"com.atproto.repo.applyWrites", func() obj {
			return obj{"writes": list{obj{"$type": "com.atproto.repo.applyWrites#create", "collection": custom, "value": obj{"n": n}}}}
		}},
	} {
		n++
		call := func(swap any) reply {
			in := what.in()
			in["repo"], in["swapCommit"] = alice.did, swap
			return alice.call(what.nsid, in)
		}
		call(old).fails(400, "InvalidSwap", "")
		call("bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a").fails(400, "InvalidSwap", "")
		call("nonsense").fails(400, "InvalidRequest", "swapCommit must be a valid CID")
		cid, _ := alice.head()
		if r := call(cid).ok(); r.str("commit", "cid") == cid {
			t.Errorf("%s: no new commit: %s", what.nsid, r.body)
		}
		old = cid
	}
	h.check()
}

func TestValidate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	write := func(collection string, validate any, record obj) (replies []reply) {
		n := len(h.events(h.a)) // another key each time: what is there may excuse what follows it
		key := fmt.Sprint("key", n)
		if collection == post {
			key = repo.TID(1<<53 + int64(n)).String()
		}
		with := func(in obj) obj {
			if validate != nil {
				in["validate"] = validate
			}
			in["repo"] = alice.did
			return in
		}
		r := alice.call("com.atproto.repo.applyWrites", with(obj{"writes": list{obj{"$type": "com.atproto.repo.applyWrites#create", "collection": collection, "value": record}}}))
		if r.status == 200 { // the status is inside
			first := r.at("results").(list)[0].(obj)
			r.body = []byte(`{"validationStatus":"` + fmt.Sprint(first["validationStatus"]) + `"}`)
			r.body = []byte(strings.ReplaceAll(string(r.body), `{"validationStatus":"<nil>"}`, `{}`))
		}
		return []reply{
			alice.call("com.atproto.repo.createRecord", with(obj{"collection": collection, "record": record})),
			alice.call("com.atproto.repo.putRecord", with(obj{"collection": collection, "rkey": key, "record": record})), r,
		}
	}
	bad := obj{"$type": post, "text": 1}
	for _, tt := range []struct {
		collection string
		validate   any
		record     obj
		want       any // validationStatus, or an error's message
	}{
		{post, nil, postRecord("x"), "valid"},
		{post, true, postRecord("x"), "valid"},
		{post, false, postRecord("x"), nil},
		{post, nil, obj{"text": "no $type", "createdAt": createdAt}, "valid"},
		{custom, nil, obj{"a": 1}, "unknown"},
		{custom, true, obj{"a": 1}, "!Unknown lexicon type: " + custom},
		{custom, false, obj{"a": 1}, nil},
		{post, nil, bad, "!Invalid " + post + " record: "},
		{post, true, bad, "!Invalid " + post + " record: "},
		{post, false, bad, nil},
		{post, nil, obj{"text": "x"}, "!Invalid " + post + " record: "},
		{post, nil, obj{"text": "x", "createdAt": "yesterday"}, "!Invalid " + post + " record: "},
		{post, nil, obj{"text": "x", "createdAt": "2026-01-02 03:04:05Z"}, "!Invalid " + post + " record: "},
		{post, nil, obj{"text": strings.Repeat("x", 3001), "createdAt": createdAt}, "!Invalid " + post + " record: "},
		{custom, false, obj{"$type": post}, "!Invalid $type: expected " + custom + ", got " + post},
		{custom, nil, obj{"$type": post}, "!Invalid $type: expected " + custom + ", got " + post},
	} {
		for _, r := range write(tt.collection, tt.validate, tt.record) {
			if want, _ := tt.want.(string); strings.HasPrefix(want, "!") {
				r.fails(400, "InvalidRequest", want[1:])
			} else if r.status != 200 || r.at("validationStatus") != tt.want {
				t.Errorf("%s validate=%v %v: %s: %d %s, want %v", tt.collection, tt.validate, tt.record, r.what, r.status, r.body, tt.want)
			}
		}
	}
	h.check()
	// Known is more than posts, and $type is filled in.
	r := alice.create("app.bsky.feed.like", "", obj{"subject": obj{"uri": "at://" + alice.did + "/" + post + "/3jqfcqzm3fo2j", "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"}, "createdAt": createdAt}).ok()
	if got := alice.read("app.bsky.feed.like", rkeyOf(r.str("uri"))).ok(); r.str("validationStatus") != "valid" || got.str("value", "$type") != "app.bsky.feed.like" {
		t.Errorf("%s %s", r.body, got.body)
	}
	// The tenant's own rule for those who say nothing.
	h.set(hostA, "record_validation", "required")
	alice.create(custom, "", obj{}).fails(400, "InvalidRequest", "Unknown lexicon type")
	h.set(hostA, "record_validation", "off")
	if r := alice.create(post, "", bad).ok(); r.at("validationStatus") != nil {
		t.Errorf("%s", r.body)
	}
	h.check()
}

func TestRecordKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for _, rkey := range []string{"a", "self", "3jqfcqzm3fo2j", "~1.2-3_", "a:b", strings.Repeat("x", 512), "...", "-", "_"} {
		alice.create(custom, rkey, obj{}).ok()
		alice.put(custom, rkey, obj{"a": 1}).ok()
		alice.read(custom, rkey).ok()
		if a := h.get(hostA, "com.atproto.sync.getRecord", "", "did", alice.did, "collection", custom, "rkey", rkey); a.status != 200 {
			t.Errorf("proof of %q: %s", rkey, a.body)
		}
		alice.del(custom, rkey).ok()
	}
	h.check()
	for _, rkey := range []string{".", "..", "a/b", "a b", "ü", "a%20", "#", "@", strings.Repeat("x", 513), "a\x00", "\n"} {
		alice.create(custom, rkey, obj{}).fails(400, "InvalidRequest", "rkey must be a valid record key")
		alice.put(custom, rkey, obj{}).fails(400, "InvalidRequest", "rkey must be a valid record key")
		alice.del(custom, rkey).fails(400, "InvalidRequest", "rkey must be a valid record key")
		alice.read(custom, rkey).fails(400, "InvalidRequest", "rkey must be ")
		alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": custom, "rkey": rkey}}}).
			fails(400, "InvalidRequest", "rkey must be a valid record key")
	}
	for _, collection := range []string{"post", "a.b", "com.example.", ".com.example", "com.exa_mple.x", "com.example.1x", "com.example.x/y", strings.Repeat("a", 60) + "." + strings.Repeat("a.", 140) + "x"} {
		alice.create(collection, "x", obj{}).fails(400, "InvalidRequest", "collection must be a valid NSID")
	}
	// Keys that the lexicon demands, unless it is not asked.
	profile := obj{"$type": "app.bsky.actor.profile", "displayName": "Alice"}
	alice.create("app.bsky.actor.profile", "other", profile).fails(400, "InvalidRequest", "Invalid app.bsky.actor.profile record: ")
	alice.put("app.bsky.actor.profile", "self", profile).ok()
	alice.create(post, "not-a-tid", postRecord("x")).fails(400, "InvalidRequest", "Invalid app.bsky.feed.post record: ")
	alice.create(post, "3jqfcqzm3fo2j", postRecord("x")).ok()
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": post, "rkey": "not-a-tid", "record": postRecord("x"), "validate": false}).ok()
	h.check()
}

// TestDataModel: what no record may hold, whatever validate says.
func TestDataModel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	const link = `{"$link":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"}`
	const raw = `{"$link":"bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"}`
	send := func(record, validate string) reply {
		return h.raw("POST", hostA, "/xrpc/com.atproto.repo.createRecord",
			`{"repo":"`+alice.did+`","collection":"`+custom+`"`+validate+`,"record":`+record+`}`, jsonBody, bearer(alice.access))
	}
	for _, record := range []string{
		`{"a":1.5}`, `{"a":-0.1}`, `{"a":1e-3}`, `{"a":1e400}`, `{"a":9223372036854775808}`, `{"a":-9223372036854775809}`,
		`[]`, `"text"`, `1`, `null`, `true`, `{"$bytes":"AAAA"}`, link,
		`{"$type":1}`, `{"$type":""}`, `{"$type":null}`, `{"a":{"$type":1}}`, `{"a":{"$type":""}}`,
		`{"a":{"$link":1}}`, `{"a":{"$link":"nonsense"}}`, `{"a":{"$link":""}}`, `{"a":{"$link":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","b":1}}`,
		`{"a":{"$bytes":1}}`, `{"a":{"$bytes":"§"}}`, `{"a":{"$bytes":"AAAA","b":1}}`,
		`{"a":{"$type":"blob"}}`, `{"a":{"$type":"blob","ref":"x","mimeType":"image/png","size":1}}`,
		`{"a":{"$type":"blob","ref":` + raw + `,"mimeType":1,"size":1}}`, `{"a":{"$type":"blob","ref":` + raw + `,"mimeType":"image/png"}}`,
		`{"a":{"$type":"blob","ref":` + raw + `,"mimeType":"image/png","size":"1"}}`, `{"a":{"$type":"blob","ref":` + raw + `,"mimeType":"image/png","size":-2}}`,
		`{"a":"\ud800"}`, `{"\udc00":1}`,
		strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_000),
		`{"a":` + strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000) + `}`,
	} {
		for _, validate := range []string{"", `,"validate":false`} {
			r := send(record, validate)
			r.what = fmt.Sprintf("%.100s", record)
			r.fails(400, "InvalidRequest", "")
		}
	}
	send(`{"avatar":{"cid":"bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy","mimeType":"image/png"}}`, `,"validate":false`).
		fails(400, "InvalidRequest", "Legacy blobs are not allowed")
	h.check()
	// A blob must have been uploaded first.
	upload := h.raw("POST", hostA, "/xrpc/com.atproto.repo.uploadBlob", "bytes of an image", bearer(alice.access), "Content-Type: image/png")
	blob := raw
	if upload.status == 200 {
		blob = `{"$link":"` + upload.str("blob", "ref", "$link") + `"}`
	}
	for _, record := range []string{
		`{}`, `{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740993}`, `{"a":123.0}`, `{"a":null,"b":true,"":[]}`, `{"a":` + link + `,"b":{"$bytes":"AAAA"}}`,
		`{"a":{"$type":"blob","ref":` + blob + `,"mimeType":"image/png","size":17}}`, `{"a":"\u0000"}`, `{"a":"🦋\ud83e\udd8b"}`,
		`{"a":` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100) + `}`,
	} {
		r := send(record, "")
		r.what = fmt.Sprintf("%.100s", record)
		r.ok()
	}
	r := send(`{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740993}`, "").ok()
	got := alice.read(custom, rkeyOf(r.str("uri"))).ok()
	if fmt.Sprintf("%v %v %v", got.at("value", "a"), got.at("value", "b"), got.at("value", "c")) != "9223372036854775807 -9223372036854775808 9007199254740993" {
		t.Errorf("integers came back as %s", got.body)
	}
	h.check()
	h.archive(alice)
}

// TestDuplicates: a second follow, block, like or repost of the same thing takes the place of the first.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	strong := obj{"uri": "at://" + bob.did + "/" + post + "/3jqfcqzm3fo2j", "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"}
	other := obj{"uri": "at://" + bob.did + "/" + post + "/3jqfcqzm3fo2k", "cid": strong["cid"]}
	for _, tt := range []struct {
		collection     string
		subject, other any
	}{
		{"app.bsky.graph.follow", bob.did, alice.did},
		{"app.bsky.graph.block", bob.did, alice.did},
		{"app.bsky.feed.like", strong, other},
		{"app.bsky.feed.repost", strong, other},
	} {
		make := func(subject any, more ...any) string {
			in := obj{"repo": alice.did, "collection": tt.collection, "record": obj{"subject": subject, "createdAt": createdAt}}
			for i := 0; i < len(more); i += 2 {
				in[more[i].(string)] = more[i+1]
			}
			return alice.call("com.atproto.repo.createRecord", in).ok().str("uri")
		}
		keys := func() string {
			var uris []string
			for _, r := range alice.ask("com.atproto.repo.listRecords", "repo", alice.did, "collection", tt.collection, "reverse", "true").ok().at("records").(list) {
				uris = append(uris, r.(obj)["uri"].(string))
			}
			return strings.Join(uris, " ")
		}
		first, elsewhere := make(tt.subject), make(tt.other)
		second := make(tt.subject)
		h.check()
		if got := keys(); got != elsewhere+" "+second {
			t.Errorf("%s: %s after a duplicate of %s", tt.collection, got, first)
		}
		// Not when the schema is not asked; then the next one removes all.
		third := make(tt.subject, "validate", false)
		if got := keys(); got != elsewhere+" "+second+" "+third {
			t.Errorf("%s: %s", tt.collection, got)
		}
		fourth := make(tt.subject)
		h.check()
		if got := keys(); got != elsewhere+" "+fourth {
			t.Errorf("%s: %s", tt.collection, got)
		}
		// The other account's own stay.
		bob.create(tt.collection, "", obj{"subject": tt.subject, "createdAt": createdAt}).ok()
		if got := keys(); got != elsewhere+" "+fourth {
			t.Errorf("%s: %s after bob's", tt.collection, got)
		}
		// putRecord and applyWrites remove nothing.
		alice.put(tt.collection, "3jqfcqzm3fo2j", obj{"subject": tt.subject, "createdAt": createdAt}).ok()
		alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{
			obj{"$type": "com.atproto.repo.applyWrites#create", "collection": tt.collection, "value": obj{"subject": tt.subject, "createdAt": createdAt}}}}).ok()
		if n := len(strings.Fields(keys())); n != 4 {
			t.Errorf("%s: %d records", tt.collection, n)
		}
		h.check()
	}
}

// TestRacingWrites: writes to one account at once all happen, each with a revision of its own.
func TestRacingWrites(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	const n = 24
	revs := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, err := h.try("POST", hostA, "/xrpc/com.atproto.repo.createRecord",
				obj{"repo": alice.did, "collection": custom, "record": obj{"n": i}}, bearer(alice.access))
			if err != nil || r.status != 200 {
				t.Errorf("%v %d %s", err, r.status, r.body)
				return
			}
			revs[i] = r.str("commit", "rev")
		})
	}
	wg.Wait()
	h.check()
	if a, _ := h.archive(alice); a.Count != n {
		t.Errorf("%d records of %d", a.Count, n)
	}
	seen := map[string]bool{}
	for _, rev := range revs {
		if seen[rev] {
			t.Errorf("rev %s twice", rev)
		}
		seen[rev] = true
	}
	// One key, many creates: one wins.
	var won sync.Map
	for i := range 8 {
		wg.Go(func() {
			r, _ := h.try("POST", hostA, "/xrpc/com.atproto.repo.createRecord",
				obj{"repo": alice.did, "collection": custom, "rkey": "one", "record": obj{"n": i}}, bearer(alice.access))
			if r.status == 200 {
				won.Store(i, true)
			} else {
				r.fails(400, "RecordAlreadyExists", "")
			}
		})
	}
	wg.Wait()
	h.check()
	winners := 0
	won.Range(func(any, any) bool { winners++; return true })
	if winners != 1 {
		t.Errorf("%d creates of one record", winners)
	}
}

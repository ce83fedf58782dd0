package handlers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// importedRecord is a record that another host let through, and what of it must be there after an edit.
type importedRecord struct {
	path string
	json string // as FromJSON takes it from other hosts
	cbor []byte // instead
	blob string // the CID it names
	odd  bool   // no new record may be like this
	// refused is part of why validate: true refuses the edited record, "" when it does not.
	refused string
}

const (
	fileText  = "\x89PNG\r\n\x1a\n what the account brought along"
	otherText = "GIF89a another"
	cidV0     = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"
)

func importedRecords() []importedRecord {
	file, other := dagcbor.RawCID([]byte(fileText)).String(), dagcbor.RawCID([]byte(otherText)).String()
	nowhere := dagcbor.RawCID([]byte("lost long ago")).String()
	ref := `{"$type":"blob","ref":{"$link":"` + file + `"},"mimeType":"image/png"`
	linkAsMap := append(dagcbor.AppendText(dagcbor.AppendMapHead(nil, 1), "$link"), dagcbor.AppendText(nil, file)...)
	text := func(b []byte, words ...string) []byte {
		for _, w := range words {
			b = dagcbor.AppendText(b, w)
		}
		return b
	}
	mapped := func(size ...int64) []byte {
		b := text(dagcbor.AppendMapHead(nil, 2), "file")
		b = append(text(dagcbor.AppendMapHead(b, 3+len(size)), "ref"), linkAsMap...)
		for _, n := range size {
			b = dagcbor.AppendInt(text(b, "size"), n)
		}
		return text(b, "$type", "blob", "mimeType", "image/png", "$type", "com.example.map")
	}
	size := len(fileText)
	return []importedRecord{
		{path: "app.bsky.actor.profile/self", json: `{"$type":"app.bsky.actor.profile","displayName":"Alice","avatar":{"cid":"` + file + `","mimeType":"image/png"}}`, blob: file, odd: true},
		{path: "com.example.blob/legacy", json: `{"$type":"com.example.blob","list":[{"image":{"cid":"` + file + `","mimeType":"image/png"}},{"image":{"cid":"` + other + `","mimeType":"image/gif"}}]}`, blob: other, odd: true},
		{path: "app.bsky.feed.post/3jui7kd54zh2y", json: `{"$type":"app.bsky.feed.post","text":"look","createdAt":"2023-01-01T00:00:00Z","embed":{"$type":"app.bsky.embed.images","images":[{"alt":"","image":` + ref + `,"size":-1}}]}}`, blob: file, odd: true},
		{path: "com.example.blob/minus", json: `{"$type":"com.example.blob","file":` + ref + `,"size":-1}}`, blob: file, odd: true},
		{path: "com.example.blob/nosize", json: `{"$type":"com.example.blob","file":` + ref + `}}`, blob: file, odd: true},
		{path: "com.example.blob/notype", json: `{"$type":"com.example.blob","file":{"$type":"blob","ref":{"$link":"` + file + `"},"size":` + fmt.Sprint(size) + `}}`, blob: file, odd: true},
		{path: "com.example.blob/text", json: `{"$type":"com.example.blob","file":{"$type":"blob","ref":"` + file + `","mimeType":"image/png","size":` + fmt.Sprint(size) + `}}`, blob: file, odd: true},
		{path: "com.example.blob/extra", json: `{"$type":"com.example.blob","file":` + ref + `,"size":` + fmt.Sprint(size) + `,"alt":"words"}}`, blob: file, odd: true},
		{path: "com.example.map/size", cbor: mapped(int64(size)), blob: file},
		{path: "com.example.map/nosize", cbor: mapped(), blob: file, odd: true},
		{path: "com.example.map/minus", cbor: mapped(-1), blob: file, odd: true},
		// What the records say of a file need not be so, and files get lost.
		{path: "com.example.blob/wrongsize", json: `{"$type":"com.example.blob","file":` + ref + `,"size":5}}`, blob: file},
		{path: "com.example.blob/wrongtype", json: `{"$type":"com.example.blob","file":{"$type":"blob","ref":{"$link":"` + file + `"},"mimeType":"image/x-png","size":` + fmt.Sprint(size) + `}}`, blob: file},
		{path: "com.example.blob/lost", json: `{"$type":"com.example.blob","file":{"$type":"blob","ref":{"$link":"` + nowhere + `"},"mimeType":"image/png","size":5}}`, blob: nowhere},
		{path: "com.example.blob/lostlegacy", json: `{"$type":"com.example.blob","file":{"cid":"` + nowhere + `","mimeType":"image/png"}}`, blob: nowhere, odd: true},
		// Objects that are nothing of what they look like; links of other kinds.
		{path: "com.example.odd/link", json: `{"$type":"com.example.odd","a":{"$link":"no CID"},"b":[{"$link":5}],"c":{"$link":"` + file + `","more":1}}`, odd: true},
		{path: "com.example.odd/bytes", json: `{"$type":"com.example.odd","a":{"$bytes":"§"},"b":{"$bytes":5},"c":{"$bytes":"AAAA","more":1},"fine":{"$bytes":"AAAA"}}`, odd: true},
		{path: "com.example.odd/v0", json: `{"$type":"com.example.odd","a":{"$link":"` + cidV0 + `"}}`, odd: true},
		{path: "com.example.odd/type", json: `{"$type":"com.example.odd","a":{"$type":""},"b":{"$type":5},"c":{"$type":null},"d":{"$type":"blob"}}`, odd: true},
		{path: "com.example.odd/other-type", json: `{"$type":"com.example.another","a":1}`, odd: true},
		{path: "com.example.odd/number-type", json: `{"$type":7,"a":1}`, odd: true},
		{path: "com.example.odd/no-type", json: `{"a":1}`},
		// What is legal, and unusual.
		{path: "com.example.fooBar2/Key_with.all:of~them-1", json: `{"$type":"com.example.fooBar2","":"","a b":[[],{}],"n":null,"max":9223372036854775807,"min":-9223372036854775808,"text":"\u0000\u001f\"\\🦋","$weird":{"$weird":1},"__proto__":1}`},
		{path: "com.example.unknown/" + strings.Repeat("k", 512), json: `{"$type":"com.example.unknown","a":{"$type":"com.example.unknown#part","b":[{"$type":"x"}]}}`},
		{path: "com.example.deep/self", json: `{"$type":"com.example.deep","a":` + strings.Repeat("[", 126) + `{"$bytes":"AA"}` + strings.Repeat("]", 126) + `}`},
		{path: "com.example.large/self", json: `{"$type":"com.example.large","a":"` + strings.Repeat(`\u0001`, repo.MaxForeign-100) + `"}`, odd: true},
		// What its lexicon forbids.
		{path: "app.bsky.feed.post/not-a-tid", json: `{"$type":"app.bsky.feed.post","text":"hello","createdAt":"2023-01-01T00:00:00Z"}`, odd: true, refused: "record key"},
		{path: "app.bsky.feed.post/3jui7kd54zh2x", json: `{"$type":"app.bsky.feed.post","text":"` + strings.Repeat("long ", 100) + `","createdAt":"yesterday"}`, odd: true, refused: "Invalid app.bsky.feed.post record"},
		{path: "app.bsky.graph.follow/3jui7kd54zh2x", json: `{"$type":"app.bsky.graph.follow","subject":"nobody"}`, odd: true, refused: "Invalid app.bsky.graph.follow record"},
	}
}

// archiveOf is a repository with these records.
func archiveOf(t testing.TB, did string, records []importedRecord) []byte {
	t.Helper()
	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	var writes []repo.Write
	for _, r := range records {
		if r.cbor == nil {
			if r.cbor, err = dagcbor.FromJSON([]byte(r.json), dagcbor.Limits{Foreign: true, Size: repo.MaxForeign}); err != nil {
				t.Fatalf("%s: %v", r.path, err)
			}
		}
		if err := dagcbor.ValidateRecord(r.cbor); err != nil {
			t.Fatalf("%s: %v", r.path, err)
		}
		// In two steps, as only a record that is there may be so large.
		writes = append(writes, repo.Write{Action: repo.ActionCreate, Path: r.path, Record: []byte{0xa0}}, repo.Write{Action: repo.ActionUpdate, Path: r.path, Record: r.cbor})
	}
	c, err := repo.Apply(repo.Head{DID: did}, writes, nil, 1, signer{key})
	if err != nil {
		t.Fatal(err)
	}
	return c.AppendCAR(nil)
}

func (u *user) putText(collection, rkey string, record obj, more string) reply {
	u.t.Helper()
	text, err := json.Marshal(record)
	if err != nil {
		u.t.Fatal(err)
	}
	return u.raw("POST", u.host, "/xrpc/com.atproto.repo.putRecord", `{"repo":"`+u.did+`","collection":"`+collection+`","rkey":"`+rkey+`"`+more+`,"record":`+string(text)+`}`, jsonBody, bearer(u.access))
}

// What is legal to import can be edited afterwards by a client that reads a record, changes a field and writes it back,
// and moves on to the next host.
func TestImportedIsEditable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	records := importedRecords()
	u.importCAR(archiveOf(t, u.did, records)).ok()
	h.check()

	// Every file that a record names is awaited.
	want := map[string]bool{}
	for _, r := range records {
		if r.blob != "" {
			want[r.blob] = true
		}
	}
	missing := func(u *user) map[string]bool {
		got := map[string]bool{}
		for _, b := range u.ask("com.atproto.repo.listMissingBlobs").ok().at("blobs").(list) {
			got[b.(obj)["cid"].(string)] = true
		}
		return got
	}
	if got := missing(u); !maps.Equal(got, want) {
		t.Errorf("missing: %v, want %v", got, want)
	}
	// Verify notes them where they were imported before such shapes counted.
	h.exec(h.a, "DELETE FROM pds.record_blob")
	_, err := h.blobs.Verify(t.Context(), h.a.Schema, blob.VerifyOptions{Repair: true}, func(p blob.Problem) error {
		if p.Kind != "reference" || !p.Repaired {
			t.Errorf("%+v", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := missing(u); !maps.Equal(got, want) {
		t.Errorf("missing after verify: %v, want %v", got, want)
	}
	wrote := 0
	edit := func(u *user, round string) {
		for i, r := range records {
			collection, rkey, _ := strings.Cut(r.path, "/")
			before := u.read(collection, rkey).ok()
			value := before.at("value").(obj)
			if got := u.get(u.host, "com.atproto.repo.listRecords", "", "repo", u.did, "collection", collection, "limit", "1", "reverse", "true", "cursor", prevKey(rkey)).ok().at("records").(list); len(got) != 1 || got[0].(obj)["cid"] != before.at("cid") {
				t.Errorf("%s: listRecords %.300v", r.path, got)
			}
			value["edited"] = round
			if r.refused != "" {
				u.putText(collection, rkey, value, `,"validate":true`).fails(400, "InvalidRequest", r.refused)
			}
			// The same as a new record is refused, but for what is only unusual, or wrong of a file.
			if r.odd && !strings.Contains(r.path, "large") {
				if got := u.putText(collection, "another", value, ""); round == "once" && got.status == 200 {
					t.Errorf("%s: taken as a new record", r.path)
				}
			}
			var answer reply
			if size := before.body; i%2 == 0 || len(size) > 500_000 {
				answer = u.putText(collection, rkey, value, "")
			} else {
				answer = u.apply(obj{"$type": "com.atproto.repo.applyWrites#update", "collection": collection, "rkey": rkey, "value": value})
			}
			if answer.status != 200 {
				t.Errorf("%s, %s: %d %.300s", r.path, round, answer.status, answer.body)
				continue
			}
			wrote++
			after := u.read(collection, rkey).ok()
			if answer.at("cid") != nil && answer.at("cid") != after.at("cid") {
				t.Errorf("%s: answered with %v, has %v", r.path, answer.at("cid"), after.at("cid"))
			}
			got := after.at("value").(obj)
			if r.path == "com.example.odd/no-type" {
				value["$type"] = collection
			}
			if g, w := fmt.Sprint(got), fmt.Sprint(value); round == "once" && g != w {
				t.Errorf("%s:\n%.500s\n%.500s", r.path, g, w)
			}
		}
		h.check()
	}
	edit(u, "once") // before the files are here nothing can be known of them

	file := u.uploaded([]byte(fileText), "Content-Type: text/plain")
	u.uploaded([]byte(otherText))
	if got := missing(u); len(got) != 1 {
		t.Errorf("missing: %v", got)
	}
	u.blobFile(refOf(file)).ok()
	if got := u.get(u.host, "com.atproto.sync.listBlobs", "", "did", u.did).ok().at("cids").(list); len(got) != 2 {
		t.Errorf("listBlobs: %v", got)
	}
	edit(u, "twice")
	today := fmt.Sprint(obj{"$type": "blob", "ref": obj{"$link": refOf(file)}, "mimeType": file["mimeType"], "size": len(fileText)})
	for _, path := range []string{"com.example.blob/minus", "com.example.blob/nosize", "com.example.blob/notype", "com.example.blob/text", "com.example.map/size", "com.example.map/nosize", "com.example.map/minus"} {
		collection, rkey, _ := strings.Cut(path, "/")
		if got := fmt.Sprint(u.read(collection, rkey).ok().at("value", "file")); got != today {
			t.Errorf("%s: %s, want %s", path, got, today)
		}
	}
	if got := fmt.Sprint(u.read("app.bsky.actor.profile", "self").ok().at("value", "avatar")); got != today {
		t.Errorf("avatar: %s", got)
	}
	if got := u.read("com.example.blob", "lostlegacy").ok().at("value", "file", "cid"); got == nil {
		t.Error("a file that is not here was given a size")
	}
	u.blobFile(refOf(file)).ok()
	u.usageIsTrue()

	// On to the next host.
	token := u.ask(serviceAuth, "aud", h.b.ServiceDID, "lxm", methodCreateAccount).ok().str("token")
	r := h.post(hostB, createAccount, bearer(token), obj{"did": u.did, "handle": "alice.b.test", "email": h.email("m"), "password": userPassword}).ok()
	v := &user{h, hostB, u.did, "alice.b.test", r.str("accessJwt"), r.str("refreshJwt")}
	v.importCAR(u.car()).ok()
	if got := missing(v); !maps.Equal(got, want) {
		t.Errorf("missing there: %v, want %v", got, want)
	}
	v.uploaded([]byte(fileText))
	if got := v.ask(status).ok().json(); fmt.Sprintf("%v %v %v", got["expectedBlobs"], got["importedBlobs"], got["indexedRecords"]) != fmt.Sprintf("%d 1 %d", len(want), len(records)) {
		t.Errorf("%v", got)
	}
	for _, rec := range records {
		collection, rkey, _ := strings.Cut(rec.path, "/")
		u.del(collection, rkey).ok()
	}
	if got := u.at(status, "indexedRecords"); got != "0" {
		t.Errorf("%s records are left", got)
	}
	if got := missing(u); len(got) != 0 {
		t.Errorf("missing after all was deleted: %v", got)
	}
	h.check()
	u.usageIsTrue()
	if wrote != 2*len(records) {
		t.Errorf("%d edits of %d", wrote, 2*len(records))
	}
}

// A body that only a record from elsewhere may need takes its memory from what all answers share.
func TestLargeBodiesAreCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	large := obj{"a": strings.Repeat("x", recordBodyLimit)}
	all := h.answers.Try(xrpc.DefaultAnswerMemory/2-recordPutLimit, h.a.Schema.String())
	if all == nil {
		t.Fatal("the memory is in use")
	}
	u.put("com.example.large", "self", large).fails(503, "NotEnoughResources", "large requests")
	u.put("com.example.large", "self", obj{"a": 1}).ok()
	all.Release()
	u.put("com.example.large", "self", large).fails(400, "InvalidRequest", "too large")
	if n := h.answers.Used(); n > 128<<10 {
		t.Errorf("%d bytes are still held", n)
	}
}

func (u *user) at(method string, path ...string) string {
	return fmt.Sprint(u.ask(method).ok().at(path...))
}

// prevKey is a key that stands right before this one, or near.
func prevKey(rkey string) string {
	b := []byte(rkey)
	last := len(b) - 1
	const inOrder = "-.0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
	i := strings.IndexByte(inOrder, b[last])
	if i <= 0 {
		return string(b[:last])
	}
	b[last] = inOrder[i-1]
	return string(b)
}

// A taken down file is named by no new version of a record, also by one that named it before.
func TestImportedTakedown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	records := importedRecords()
	i := slices.IndexFunc(records, func(r importedRecord) bool { return r.path == "com.example.blob/minus" })
	u.importCAR(archiveOf(t, u.did, records[i:i+1])).ok()
	file := u.uploaded([]byte(fileText))
	c, err := cid.Decode(refOf(file))
	if err != nil {
		t.Fatal(err)
	}
	ref := "x"
	if found, err := h.blobs.SetTakedown(t.Context(), h.a.Schema, u.count("SELECT aid FROM pds.actor WHERE did = '"+u.did+"'"), c, &ref); err != nil || !found {
		t.Fatal(found, err)
	}
	value := u.read("com.example.blob", "minus").ok().at("value").(obj)
	value["edited"] = true
	u.put("com.example.blob", "minus", value).fails(400, "BlobNotFound", "")
	delete(value, "file")
	u.put("com.example.blob", "minus", value).ok()
	h.check()
}

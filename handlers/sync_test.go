package handlers

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/mst"
)

func TestGetRepo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for i := range 5 {
		writes := make([]obj, 60)
		for j := range writes {
			writes[j] = createOp(custom, fmt.Sprintf("k%d-%d", j, i), obj{"i": i, "j": j})
		}
		alice.apply(writes...).ok()
	}
	_, rev := alice.head()
	alice.put(custom, "k7-3", obj{"changed": true}).ok()
	alice.del(custom, "k8-3").ok()
	h.check()
	cidText, _ := alice.head()
	r := h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did).ok()
	whole := h.verify(alice, r.body)
	if whole.Count != 299 || whole.CID.String() != cidText {
		t.Errorf("%d records, commit %s", whole.Count, whole.CID)
	}
	all := h.blocks(r.body)
	first, _ := h.firstBlock(r.body)
	if first != cidText {
		t.Error("the commit is not the first block")
	}
	// since: the commit and what is newer, each of it part of the whole.
	part := h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did, "since", rev).ok()
	some := h.blocks(part.body)
	if len(some) < 3 || len(some) > len(all)/2 || some[cidText] == nil {
		t.Errorf("%d of %d blocks since the last but two commits", len(some), len(all))
	}
	for c := range some {
		if all[c] == nil {
			t.Errorf("block %s is of no repository", c)
		}
	}
	for _, late := range []string{"7zzzzzzzzzzzz", whole.Commit.Rev.String()} {
		nothing := h.blocks(h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did, "since", late).ok().body)
		if len(nothing) != 1 || nothing[cidText] == nil {
			t.Errorf("%d blocks since %s", len(nothing), late)
		}
	}
	h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did, "since", "yesterday").fails(400, "InvalidRequest", "since must be")
	// Compressed when that is asked for.
	z := h.raw("GET", hostA, "/xrpc/com.atproto.sync.getRepo"+params("did", alice.did), nil, "Accept-Encoding: gzip")
	if z.header.Get("Content-Encoding") != "gzip" || len(z.body) >= len(r.body) {
		t.Errorf("not compressed: %d and %d bytes", len(z.body), len(r.body))
	}
	// HEAD has no body and does no harm.
	if head := h.raw("HEAD", hostA, "/xrpc/com.atproto.sync.getRepo"+params("did", alice.did), nil); head.status >= 500 {
		t.Errorf("HEAD: %d", head.status)
	}
}

func (h *house) firstBlock(archive []byte) (root string, roots int) {
	h.t.Helper()
	r, err := car.NewReader(bytes.NewReader(archive), car.Limits{})
	if err != nil {
		h.t.Fatal(err)
	}
	c, _, err := r.Next()
	if err != nil {
		h.t.Fatal(err)
	}
	if len(r.Roots()) == 1 && !r.Roots()[0].Equals(c) {
		h.t.Error("the first block is not the root")
	}
	return c.String(), len(r.Roots())
}

// TestSyncGetRecord: the proof that a record is there, and that one is not.
func TestSyncGetRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	prove := func(rkey string) (cid.Cid, bool) {
		r := h.get(hostA, "com.atproto.sync.getRecord", "", "did", alice.did, "collection", custom, "rkey", rkey).ok()
		blocks := h.blocks(r.body)
		root, n := h.firstBlock(r.body)
		if n != 1 {
			t.Errorf("%d roots", n)
		}
		commit, err := repo.DecodeCommit(blocks[root])
		if err != nil {
			t.Fatal(err)
		}
		doc, err := h.plc.Resolve(t.Context(), alice.did)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := doc.Key("atproto")
		if err := commit.Verify(key); err != nil {
			t.Error(err)
		}
		c, ok, err := mst.Open(commit.Data, func(c cid.Cid) ([]byte, error) {
			if b := blocks[c.String()]; b != nil {
				return b, nil
			}
			return nil, mst.ErrNotFound
		}).Get(custom + "/" + rkey)
		if err != nil {
			t.Errorf("%s: the proof is not complete: %v", rkey, err)
		}
		if ok && blocks[c.String()] == nil {
			t.Errorf("%s: the record is not there", rkey)
		}
		return c, ok
	}
	if _, there := prove("k1"); there {
		t.Error("proof of a record in an empty repository")
	}
	var writes []obj
	for i := range 150 {
		writes = append(writes, createOp(custom, fmt.Sprintf("k%d", i), obj{"n": i}))
	}
	alice.apply(writes...).ok()
	for _, rkey := range []string{"k0", "k1", "k149"} {
		c, there := prove(rkey)
		if want := alice.read(custom, rkey).ok().str("cid"); !there || c.String() != want {
			t.Errorf("%s: %v %v, want %s", rkey, there, c, want)
		}
	}
	for _, rkey := range []string{"k150", "a", "~", "k0a"} {
		if _, there := prove(rkey); there {
			t.Errorf("proof of %s", rkey)
		}
	}
}

func TestGetBlocks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	bob := h.createAccount(hostA, "bob")
	record := alice.put(custom, "a", obj{"a": 1}).ok().str("cid")
	others := bob.put(custom, "b", obj{"b": 1}).ok().str("cid")
	r := h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did).ok()
	all := h.blocks(r.body)
	kv := []string{"did", alice.did}
	for c := range all {
		kv = append(kv, "cids", c)
	}
	got := h.get(hostA, "com.atproto.sync.getBlocks", "", kv...).ok()
	if blocks := h.blocks(got.body); len(blocks) != len(all) {
		t.Errorf("%d of %d blocks", len(blocks), len(all))
	}
	if _, roots := h.firstBlock(got.body); roots != 0 {
		t.Errorf("%d roots", roots)
	}
	get := func(cids ...string) reply {
		kv := []string{"did", alice.did}
		for _, c := range cids {
			kv = append(kv, "cids", c)
		}
		return h.get(hostA, "com.atproto.sync.getBlocks", "", kv...)
	}
	get(record, others).fails(400, "BlockNotFound", others) // another account's is not this one's
	get("bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a").fails(400, "BlockNotFound", "")
	get("bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy").fails(400, "BlockNotFound", "")
	get("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKU4e6").fails(400, "InvalidRequest", "cids[0] must be a valid CID") // version 0
	get(record, "nonsense").fails(400, "InvalidRequest", "cids[1] must be a valid CID")
	get().fails(400, "InvalidRequest", "cids")
	get(record, record).ok()
	many := make([]string, 2000)
	for i := range many {
		many[i] = record
	}
	if r := get(many...); r.status != 200 && r.status != 400 {
		t.Errorf("2000 blocks: %d %.200s", r.status, r.body)
	}
}

// TestSyncOfInactive: who sees a repository that is not active, and what relays are told.
func TestSyncOfInactive(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	alice.put(custom, "a", obj{"a": 1}).ok()
	cidText, rev := alice.head()
	calls := []struct {
		nsid string
		kv   []string
	}{
		{"com.atproto.sync.getRepo", nil},
		{"com.atproto.sync.getRecord", []string{"collection", custom, "rkey", "a"}},
		{"com.atproto.sync.getBlocks", []string{"cids", cidText}},
		{"com.atproto.sync.getLatestCommit", nil},
	}
	status := func() reply {
		return h.get(hostA, "com.atproto.sync.getRepoStatus", "", "did", alice.did).ok()
	}
	if s := status(); s.at("active") != true || s.str("rev") != rev || s.at("status") != nil {
		t.Errorf("%s", s.body)
	}
	for _, tt := range []struct {
		column       string
		value        any
		name, status string
	}{
		{"deactivated_at", time.Now(), "RepoDeactivated", "deactivated"},
		{"takedown_ref", "x", "RepoTakendown", "takendown"},
	} {
		alice.setStatus(tt.column, tt.value)
		for _, c := range calls {
			kv := append([]string{"did", alice.did}, c.kv...)
			h.get(hostA, c.nsid, "", kv...).fails(400, tt.name, "")
			h.get(hostA, c.nsid, bearer(bob.access), kv...).fails(400, tt.name, "")
			h.get(hostA, c.nsid, asAdmin(), kv...).ok()
			if tt.status == "deactivated" {
				h.get(hostA, c.nsid, bearer(alice.access), kv...).ok()
			}
			for _, header := range []string{"Authorization: Bearer junk", basic("admin", "wrong"), bearer(alice.refresh), "Authorization: junk"} {
				h.get(hostA, c.nsid, header, kv...).fails(401, "AuthenticationRequired", "Invalid authorization header")
			}
		}
		if s := status(); s.at("active") != false || s.at("rev") != nil || s.str("status") != tt.status {
			t.Errorf("%s", s.body)
		}
		found := false
		for _, one := range h.get(hostA, "com.atproto.sync.listRepos", "").ok().at("repos").(list) {
			if o := one.(obj); o["did"] == alice.did {
				found = o["active"] == false && o["status"] == tt.status && o["head"] == cidText && o["rev"] == rev
			}
		}
		if !found {
			t.Errorf("%s: listRepos has no such repository", tt.status)
		}
		alice.setStatus(tt.column, nil)
	}
	for _, did := range []string{"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:example.com"} {
		for _, c := range append(calls, calls[0], struct {
			nsid string
			kv   []string
		}{"com.atproto.sync.getRepoStatus", nil}) {
			r := h.get(hostA, c.nsid, "", append([]string{"did", did}, c.kv...)...)
			r.fails(400, "RepoNotFound", "Could not find repo for DID: "+did)
		}
	}
	h.get(hostA, "com.atproto.sync.getLatestCommit", "", "did", alice.handle).fails(400, "InvalidRequest", "did must be a valid DID")
}

func TestListRepos(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var want []string
	for i := range 5 {
		want = append(want, h.createAccount(hostA, fmt.Sprintf("user%d", i)).did)
	}
	h.createAccount(hostB, "user0")
	for _, limit := range []int{1, 2, 5, 500} {
		var got []string
		cursor := ""
		for {
			kv := []string{"limit", fmt.Sprint(limit)}
			if cursor != "" {
				kv = append(kv, "cursor", cursor)
			}
			r := h.get(hostA, "com.atproto.sync.listRepos", "", kv...).ok()
			page := r.at("repos").(list)
			for _, one := range page {
				got = append(got, one.(obj)["did"].(string))
			}
			cursor, _ = r.at("cursor").(string)
			if (cursor == "") != (len(page) < limit) {
				t.Errorf("%d of %d repositories, cursor %q", len(page), limit, cursor)
			}
			if cursor == "" {
				break
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("pages of %d: %v, want %v", limit, got, want)
		}
	}
	for _, cursor := range []string{"x", "-1", "1::did:plc:x", "99999999999999999999", "\x00", "1.5", " 1"} {
		h.get(hostA, "com.atproto.sync.listRepos", "", "cursor", cursor).fails(400, "InvalidRequest", "Malformed cursor")
	}
	for _, limit := range []string{"0", "1001"} {
		h.get(hostA, "com.atproto.sync.listRepos", "", "limit", limit).fails(400, "InvalidRequest", "limit must be")
	}
	if r := h.get(hostA, "com.atproto.sync.listRepos", "", "cursor", "9223372036854775807").ok(); len(r.at("repos").(list)) != 0 {
		t.Errorf("%s", r.body)
	}
}

// TestSlowExport: a client that reads slowly, or goes away, holds nobody up.
func TestSlowExport(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for i := range 4 {
		alice.put(custom, fmt.Sprint("k", i), obj{"text": string(bytes.Repeat([]byte("x"), 900_000))}).ok()
	}
	for range 8 {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", h.http.URL+"/xrpc/com.atproto.sync.getRepo"+params("did", alice.did), nil)
		req.Host = hostA
		res, err := h.http.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(res.Body, make([]byte, 1000))
		defer res.Body.Close() // left standing, unread
	}
	alice.put(custom, "after", obj{}).ok()
	h.check()
}

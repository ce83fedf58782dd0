package handlers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestListRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	// Byte order: capitals before '_' before small letters; a collection whose name begins like the other's.
	keys := []string{"A", "B", "_", "a", "a-", "a.", "a:", "aa", "b", "~"}
	slices.Sort(keys)
	for _, i := range []int{3, 7, 0, 9, 1, 5, 2, 8, 4, 6} {
		alice.put(custom, keys[i], obj{"k": keys[i]}).ok()
	}
	alice.put(custom+"Else", "x", obj{}).ok()
	alice.put("com.example", "x", obj{}).fails(400, "InvalidRequest", "collection must be a valid NSID")
	alice.put("com.example.a", "x", obj{}).ok()
	h.check()

	list := func(kv ...string) (got []string, cursor string) {
		r := h.get(hostA, "com.atproto.repo.listRecords", "", append([]string{"repo", alice.handle, "collection", custom}, kv...)...).ok()
		for _, one := range r.at("records").([]any) {
			o := one.(obj)
			key := rkeyOf(o["uri"].(string))
			if o["value"].(obj)["k"] != key || o["cid"] == nil || o["uri"] != "at://"+alice.did+"/"+custom+"/"+key {
				t.Errorf("%v", o)
			}
			got = append(got, key)
		}
		cursor, _ = r.at("cursor").(string)
		return got, cursor
	}
	backwards := slices.Clone(keys)
	slices.Reverse(backwards)
	for _, tt := range []struct {
		reverse string
		want    []string
	}{{"false", backwards}, {"true", keys}} {
		if got, cursor := list("reverse", tt.reverse); !slices.Equal(got, tt.want) || cursor != tt.want[9] {
			t.Errorf("reverse=%s: %v, cursor %q", tt.reverse, got, cursor)
		}
		for _, limit := range []int{1, 3, 5, 10} {
			var all []string
			cursor := ""
			for pages := 0; ; pages++ {
				kv := []string{"reverse", tt.reverse, "limit", fmt.Sprint(limit)}
				if cursor != "" {
					kv = append(kv, "cursor", cursor)
				}
				got, next := list(kv...)
				all = append(all, got...)
				if len(got) == 0 {
					if next != "" {
						t.Errorf("an empty page has the cursor %q", next)
					}
					break
				}
				if next != got[len(got)-1] {
					t.Errorf("cursor %q after %v", next, got)
				}
				if cursor = next; pages > 10 {
					t.Fatal("no end")
				}
			}
			if !slices.Equal(all, tt.want) {
				t.Errorf("pages of %d, reverse=%s: %v", limit, tt.reverse, all)
			}
		}
	}
	// A cursor need not be a record that exists.
	if got, _ := list("cursor", "aZ", "reverse", "true"); !slices.Equal(got, []string{"aa", "b", "~"}) {
		t.Errorf("%v", got)
	}
	h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", custom, "cursor", "a/b").fails(400, "InvalidRequest", "Malformed cursor")
	for _, limit := range []string{"0", "101", "-1", "x", "1.5", "9999999999999999999"} {
		h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", custom, "limit", limit).fails(400, "InvalidRequest", "limit must be")
	}
	h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", custom, "reverse", "maybe").fails(400, "InvalidRequest", "reverse must be a boolean")
	if r := h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", "com.example.none").ok(); string(r.body) != `{"records":[]}` {
		t.Errorf("%s", r.body)
	}

	// Records taken down are hidden; accounts that are not active are not found.
	h.exec(h.a, "UPDATE pds.record SET takedown_ref = 'x' WHERE path = $1", custom+"/a")
	if got, _ := list(); len(got) != 9 || slices.Contains(got, "a") {
		t.Errorf("%v", got)
	}
	alice.read(custom, "a").fails(400, "RecordNotFound", "Could not locate record: at://"+alice.did+"/"+custom+"/a")
	for _, name := range []string{"nobody.a.test", "alice.b.test", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"} {
		h.get(hostA, "com.atproto.repo.listRecords", "", "repo", name, "collection", custom).fails(400, "InvalidRequest", "Could not find repo: "+name)
		h.get(hostA, "com.atproto.repo.getRecord", "", "repo", name, "collection", custom, "rkey", "b").fails(400, "RecordNotFound", "Could not locate record: at://"+name+"/"+custom+"/b")
		h.get(hostA, "com.atproto.repo.describeRepo", "", "repo", name).fails(400, "RepoNotFound", "Could not find repo: "+name)
	}
	for _, column := range []string{"deactivated_at", "takedown_ref"} {
		value := any(time.Now())
		name := "RepoDeactivated"
		if column == "takedown_ref" {
			value, name = "x", "RepoTakendown"
		}
		alice.setStatus(column, value)
		h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", custom).fails(400, "InvalidRequest", "Could not find repo: "+alice.did)
		alice.ask("com.atproto.repo.getRecord", "repo", alice.did, "collection", custom, "rkey", "b").fails(400, "RecordNotFound", "Could not locate record")
		h.get(hostA, "com.atproto.repo.describeRepo", "", "repo", alice.did).fails(400, name, "")
		alice.setStatus(column, nil)
	}
}

func TestGetRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	cid := alice.put(custom, "self", obj{"html": "<&>\u2028\"\\", "n": 1}).ok().str("cid")
	get := func(kv ...string) reply {
		return h.get(hostA, "com.atproto.repo.getRecord", "", append([]string{"collection", custom, "rkey", "self"}, kv...)...)
	}
	for _, name := range []string{alice.did, alice.handle, strings.ToUpper(alice.handle)} {
		r := get("repo", name, "cid", cid).ok()
		if r.str("cid") != cid || r.str("uri") != "at://"+alice.did+"/"+custom+"/self" || r.str("value", "html") != "<&>\u2028\"\\" || r.str("value", "$type") != custom {
			t.Errorf("%s", r.body)
		}
	}
	alice.put(custom, "self", obj{"n": 2}).ok()
	get("repo", alice.did, "cid", cid).fails(400, "RecordNotFound", "Could not locate record: at://"+alice.did+"/"+custom+"/self")
	get("repo", alice.did, "cid", "nonsense").fails(400, "InvalidRequest", "cid must be a valid CID")
	get("repo", alice.did).ok()
	h.get(hostA, "com.atproto.repo.getRecord", "", "repo", alice.did, "collection", custom, "rkey", "other").fails(400, "RecordNotFound", "")
	h.get(hostA, "com.atproto.repo.getRecord", "", "repo", alice.did, "collection", custom).fails(400, "InvalidRequest", "rkey is required")
	// With an Authorization header that says nothing here, it is public all the same.
	h.get(hostA, "com.atproto.repo.getRecord", "Authorization: Bearer junk", "repo", alice.did, "collection", custom, "rkey", "self").ok()
}

func TestDescribeRepo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	describe := func() reply {
		return h.get(hostA, "com.atproto.repo.describeRepo", "", "repo", alice.handle).ok()
	}
	r := describe()
	if r.str("handle") != alice.handle || r.str("did") != alice.did || r.str("didDoc", "id") != alice.did || r.at("handleIsCorrect") != true || len(r.at("collections").(list)) != 0 {
		t.Errorf("%s", r.body)
	}
	for _, c := range []string{"com.example.b", "com.example.a", "com.example.bb", "com.example.aB"} {
		for _, k := range []string{"1", "2"} {
			alice.put(c, k, obj{}).ok()
		}
	}
	if got := fmt.Sprint(describe().at("collections")); got != "[com.example.a com.example.aB com.example.b com.example.bb]" {
		t.Error(got)
	}
	// A handle that the document does not have.
	h.exec(h.a, "UPDATE pds.actor SET handle = 'other.a.test' WHERE did = $1", alice.did)
	h.actors.Forget(h.a.Schema, alice.did)
	if r := h.get(hostA, "com.atproto.repo.describeRepo", "", "repo", alice.did).ok(); r.at("handleIsCorrect") != false || r.str("handle") != "other.a.test" {
		t.Errorf("%s", r.body)
	}
	h.exec(h.a, "UPDATE pds.actor SET handle = NULL WHERE did = $1", alice.did)
	h.actors.Forget(h.a.Schema, alice.did)
	if r := h.get(hostA, "com.atproto.repo.describeRepo", "", "repo", alice.did).ok(); r.at("handleIsCorrect") != false || r.str("handle") != "handle.invalid" {
		t.Errorf("%s", r.body)
	}
}

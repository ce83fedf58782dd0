package handlers

import (
	"fmt"
	"strings"
	"testing"
)

// The writes of applyWrites.
func createOp(collection, rkey string, value obj) obj {
	op := obj{"$type": "com.atproto.repo.applyWrites#create", "collection": collection, "value": value}
	if rkey != "" {
		op["rkey"] = rkey
	}
	return op
}

func updateOp(collection, rkey string, value obj) obj {
	return obj{"$type": "com.atproto.repo.applyWrites#update", "collection": collection, "rkey": rkey, "value": value}
}

func deleteOp(collection, rkey string) obj {
	return obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": collection, "rkey": rkey}
}

func (u *user) apply(writes ...obj) reply {
	u.t.Helper()
	if writes == nil {
		writes = []obj{}
	}
	return u.call("com.atproto.repo.applyWrites", obj{"repo": u.did, "writes": writes})
}

func TestApplyWrites(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	r := alice.apply(createOp(custom, "a", obj{"n": 1}), createOp(post, "", postRecord("x")), createOp(custom, "b", obj{"n": 2})).ok()
	h.check()
	cid, rev := alice.head()
	if r.str("commit", "cid") != cid || r.str("commit", "rev") != rev {
		t.Errorf("%s", r.body)
	}
	r = alice.apply(deleteOp(custom, "a"), createOp(custom, "c", obj{"n": 3}), updateOp(custom, "b", obj{"n": 4})).ok()
	h.check()
	results := r.at("results").(list)
	for i, want := range []string{"#deleteResult", "#createResult", "#updateResult"} {
		one := results[i].(obj)
		if one["$type"] != "com.atproto.repo.applyWrites"+want {
			t.Errorf("result %d: %v", i, one)
		}
		if i > 0 && (one["uri"] != "at://"+alice.did+"/"+custom+"/"+[]string{"", "c", "b"}[i] || one["cid"] == nil || one["validationStatus"] != "unknown") {
			t.Errorf("result %d: %v", i, one)
		}
	}
	if got := alice.read(custom, "b").ok(); fmt.Sprint(got.at("value", "n")) != "4" || got.str("cid") != results[2].(obj)["cid"] {
		t.Errorf("%s", got.body)
	}

	// All or nothing.
	cid, _ = alice.head()
	for _, tt := range []struct {
		writes     []obj
		name, part string
	}{
		{[]obj{createOp(custom, "x", obj{}), updateOp(custom, "missing", obj{})}, "RecordNotFound", ""},
		{[]obj{createOp(custom, "x", obj{}), deleteOp(custom, "missing")}, "RecordNotFound", ""},
		{[]obj{createOp(custom, "x", obj{}), createOp(custom, "b", obj{})}, "RecordAlreadyExists", ""},
		{[]obj{createOp(custom, "x", obj{}), createOp(custom, "x", obj{})}, "", ""},
		{[]obj{createOp(custom, "x", obj{}), createOp(post, "", obj{"text": 1})}, "InvalidRequest", "Invalid app.bsky.feed.post record"},
		{[]obj{createOp(custom, "x", obj{}), createOp(custom, "", obj{"a": 1.5})}, "InvalidRequest", "Invalid record"},
		{[]obj{createOp(custom, "x", obj{}), createOp(custom, "", obj{"$type": post})}, "InvalidRequest", "Invalid $type"},
		{[]obj{createOp(custom, "x", obj{}), {"$type": "com.atproto.repo.applyWrites#move"}}, "InvalidRequest", "$type"},
		{[]obj{createOp(custom, "x", obj{}), {"$type": "com.atproto.repo.applyWrites#update", "collection": custom, "value": obj{}}}, "InvalidRequest", "rkey is required"},
		{[]obj{createOp(custom, "x", obj{}), {"collection": custom, "rkey": "y"}}, "InvalidRequest", "$type"},
	} {
		r := alice.apply(tt.writes...)
		if tt.name == "" {
			tt.name = r.str("error")
		}
		r.fails(400, tt.name, tt.part)
	}
	h.check()
	if now, _ := alice.head(); now != cid {
		t.Error("a refused batch left a commit")
	}
	alice.read(custom, "x").fails(400, "RecordNotFound", "")

	// Changes that cancel, and nothing at all, make no commit.
	if r := alice.apply().ok(); r.at("commit") != nil || len(r.at("results").(list)) != 0 {
		t.Errorf("%s", r.body)
	}
	h.check()
	// A chain on one path, if it is taken, ends in its last state.
	if r := alice.apply(deleteOp(custom, "b"), createOp(custom, "b", obj{"n": 5})); r.status == 200 {
		if got := alice.read(custom, "b").ok(); fmt.Sprint(got.at("value", "n")) != "5" {
			t.Errorf("%s", got.body)
		}
	} else {
		r.fails(400, "InvalidRequest", "")
	}
	h.check()
}

func TestApplyWritesLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	batch := func(n, size int) []obj {
		writes := make([]obj, n)
		for i := range writes {
			writes[i] = createOp(custom, fmt.Sprintf("k%d-%d", size, i), obj{"n": i, "text": strings.Repeat("x", size)})
		}
		return writes
	}
	alice.apply(batch(201, 0)...).fails(400, "InvalidRequest", "Too many writes. Max: 200")
	alice.apply(batch(200, 0)...).ok()
	h.check()
	// A body of a megabyte cannot hold records of two; but what it changes can: the proof of each deletion counts too.
	if r := alice.apply(batch(190, 5000)...); r.status != 200 {
		t.Errorf("%s", r.body)
	}
	h.check()
	alice.apply(batch(1, 1_000_001)...).fails(413, "PayloadTooLargeError", "request entity too large")
	h.check()
}

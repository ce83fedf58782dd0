package handlers

import "testing"

func TestPutRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	put := func(n int, more ...any) reply {
		in := obj{"repo": alice.handle, "collection": custom, "rkey": "self", "record": obj{"n": n}}
		for i := 0; i < len(more); i += 2 {
			in[more[i].(string)] = more[i+1]
		}
		r := alice.call("com.atproto.repo.putRecord", in)
		h.check()
		return r
	}
	const never = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
	put(1, "swapRecord", never).fails(400, "InvalidSwap", "Record was at null")
	r := put(1, "swapRecord", nil).ok()
	first := r.str("cid")
	put(2, "swapRecord", nil).fails(400, "InvalidSwap", "Record was at "+first)
	put(2, "swapRecord", never).fails(400, "InvalidSwap", "Record was at "+first)
	put(2, "swapRecord", "nonsense").fails(400, "InvalidRequest", "swapRecord must be a valid CID")
	r = put(2, "swapRecord", first).ok()
	if r.str("commit", "cid") == "" || r.str("cid") == first {
		t.Errorf("%s", r.body)
	}
	// What is there already is left alone, and no swap is looked at.
	cid, rev := alice.head()
	before := h.events(h.a)
	for _, more := range [][]any{{}, {"swapRecord", nil}, {"swapRecord", never}, {"swapCommit", never}} {
		again := put(2, more...).ok()
		if again.at("commit") != nil || again.str("cid") != r.str("cid") || again.str("uri") != r.str("uri") || again.str("validationStatus") != "unknown" {
			t.Errorf("%v: %s", more, again.body)
		}
	}
	if c, v := alice.head(); c != cid || v != rev || h.events(h.a) != before {
		t.Error("putting what is there made a commit")
	}
	put(3, "swapCommit", never).fails(400, "InvalidSwap", "")
	put(3, "swapCommit", cid, "swapRecord", r.str("cid")).ok()
	alice.call("com.atproto.repo.putRecord", obj{"repo": alice.did, "collection": custom, "record": obj{}}).fails(400, "InvalidRequest", "rkey is required")
}

func TestDeleteRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	del := func(more ...any) reply {
		in := obj{"repo": alice.handle, "collection": custom, "rkey": "self"}
		for i := 0; i < len(more); i += 2 {
			in[more[i].(string)] = more[i+1]
		}
		r := alice.call("com.atproto.repo.deleteRecord", in)
		h.check()
		return r
	}
	const never = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
	before := h.events(h.a)
	for _, more := range [][]any{{}, {"swapRecord", never}, {"swapCommit", never}} { // nothing there: nothing happens
		if r := del(more...).ok(); r.at("commit") != nil {
			t.Errorf("%s", r.body)
		}
	}
	if h.events(h.a) != before {
		t.Error("deleting nothing made an event")
	}
	cid := alice.put(custom, "self", obj{"n": 1}).ok().str("cid")
	del("swapRecord", never).fails(400, "InvalidSwap", "Record was at "+cid)
	del("swapCommit", never).fails(400, "InvalidSwap", "")
	if r := del("swapRecord", cid).ok(); r.str("commit", "rev") == "" {
		t.Errorf("%s", r.body)
	}
	alice.read(custom, "self").fails(400, "RecordNotFound", "")
	if a, n := h.archive(alice); a.Count != 0 || n != 2 {
		t.Errorf("%d records, %d blocks after the last record went", a.Count, n)
	}
}

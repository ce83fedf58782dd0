package handlers

import (
	"fmt"
	"slices"
	"testing"
)

// Whatever writes records is held to what an account and the tenant may have, and says so; usage is seen.
func TestRecordQuotas(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	usage := func(u *user) string {
		r := u.ask(ownServer + "getUsage").ok()
		return fmt.Sprint(r.at("records", "count"), "/", r.at("records", "bytes"), " of ", r.at("recordLimits", "count"), "/", r.at("recordLimits", "bytes"))
	}
	if got := usage(alice); got != "0/0 of 4000000/2147483648" {
		t.Error(got)
	}
	note := func(text string) obj { return obj{"$type": custom, "text": text} }
	alice.create(custom, "one", note("1")).ok()
	alice.create(custom, "two", note("2")).ok()
	car := alice.car()
	size := "64" // of two
	if got := usage(alice); got != "2/"+size+" of 4000000/2147483648" {
		t.Fatal(got)
	}
	writes := func(u *user, list ...any) reply {
		return u.call("com.atproto.repo.applyWrites", obj{"repo": u.did, "writes": list})
	}
	making := obj{"$type": "com.atproto.repo.applyWrites#create", "collection": custom, "value": note("3")}
	full := func(status int, name string) {
		t.Helper()
		alice.create(custom, "", note("3")).fails(status, name, "here, and would have")
		alice.put(custom, "three", note("3")).fails(status, name, "")
		alice.put(custom, "two", note("much longer than before")).fails(status, name, "bytes of records")
		writes(alice, making).fails(status, name, "")
		writes(alice, making, obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": custom, "rkey": "one"}, making).fails(status, name, "")
		if got := usage(alice)[:4]; got != "2/"+size {
			t.Error(got)
		}
		h.check()
	}
	h.set(hostA, "record_account_count", "2", "record_account_bytes", size)
	full(400, "RecordQuotaExceeded")
	alice.put(custom, "two", note("0")).ok()
	bob.create(custom, "one", note("1")).ok() // has a quota of his own
	// What is deleted makes room.
	alice.del(custom, "one").ok()
	alice.create(custom, "three", note("3")).ok()
	alice.importCAR(car).ok()
	alice.create(custom, "", note("4")).fails(400, "RecordQuotaExceeded", "2 records")
	h.set(hostA, "record_account_count", "1")
	alice.importCAR(car).ok() // no more than there is

	// A limit of its own, by an operator, at once.
	limit := func(auth string, in obj) reply { return h.post(hostA, ownAdmin+"setRecordLimits", auth, in) }
	limit(asAdmin(), obj{"account": "nobody." + hostA, "count": 1}).fails(400, "NotFound", "")
	limit(asAdmin(), obj{"account": alice.did, "count": int64(1) << 60}).fails(400, "InvalidRequest", "at most")
	if r := limit(asAdmin(), obj{"account": alice.handle, "count": 3, "bytes": 0}).ok(); fmt.Sprint(r.at("limits", "count"), " ", r.at("limits", "bytes")) != "3 0" {
		t.Errorf("%s", r.body)
	}
	alice.create(custom, "four", note("4")).ok()
	alice.create(custom, "five", note("5")).fails(400, "RecordQuotaExceeded", "3 records")
	three := alice.car()
	if got := usage(alice); got != "3/96 of 3/0" {
		t.Error(got)
	}
	found := false
	for _, a := range h.get(hostA, ownAdmin+"listUsage", asAdmin()).ok().at("accounts").(list) {
		a := a.(obj)
		if a["did"] == alice.did {
			found = true
			if got := fmt.Sprint(a["records"], " ", a["maxRecords"], " ", a["maxRecordBytes"]); got != "map[bytes:96 count:3] 3 0" {
				t.Error(got)
			}
		}
	}
	if !found {
		t.Error("an account is not listed")
	}
	limit(asAdmin(), obj{"account": alice.did}).ok()
	alice.create(custom, "five", note("5")).fails(400, "RecordQuotaExceeded", "1 records")
	if r := limit(asAdmin(), obj{"count": 10, "bytes": 1000}).ok(); fmt.Sprint(r.at("limits", "count"), " ", r.at("limits", "bytes")) != "10 1000" {
		t.Errorf("%s", r.body)
	}
	if got := usage(bob); got != "1/32 of 10/1000" {
		t.Error(got)
	}
	if !slices.Contains(h.audited(h.a), "admin owner "+ownAdmin+"setRecordLimits  done") {
		t.Errorf("%v", h.audited(h.a))
	}

	// The tenant's own, and an import beyond both.
	alice.del(custom, "four").ok()
	h.set(hostA, "record_tenant_count", "3", "record_tenant_bytes", "96")
	full(507, "InsufficientStorage")
	alice.importCAR(three).fails(507, "InsufficientStorage", "This server may have 3 records")
	h.set(hostA, "record_tenant_count", "", "record_tenant_bytes", "", "record_account_count", "2")
	alice.importCAR(three).fails(400, "RecordQuotaExceeded", "An account may have 2 records")
	r := h.get(hostA, ownAdmin+"getUsage", asAdmin()).ok()
	if got := fmt.Sprint(r.at("records"), " ", r.at("recordBytes"), " ", r.at("recordAccountLimits", "count"), " ", r.at("recordServerLimits", "bytes")); got != "3 96 2 0" {
		t.Error(got)
	}
	// An account that goes gives back what it had.
	h.admin(hostA, "deleteAccount", obj{"did": alice.did}).ok()
	if r := h.get(hostA, ownAdmin+"getUsage", asAdmin()).ok(); fmt.Sprint(r.at("records"), " ", r.at("recordBytes")) != "1 32" {
		t.Errorf("%s", r.body)
	}
	h.check()
}

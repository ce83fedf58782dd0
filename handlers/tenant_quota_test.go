package handlers

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/usage"
)

// reached are the quotas that the deployment's operator sees a tenant at.
func (h *house) reached(id int64) string {
	h.t.Helper()
	if err := h.meter.Flush(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	all, err := usage.Reached(h.t.Context(), h.db, []int64{id}, h.clock.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprint(all[id])
}

func (h *house) signUp(host, name string) reply {
	return h.post(host, "com.atproto.server.createAccount", "", obj{"handle": name + "." + host, "email": h.email(name), "password": userPassword})
}

// A tenant has no more accounts than its quota says, however many ask at once; those that are there are not touched, and
// one that goes makes room.
func TestAccountQuota(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	const limit = 4
	h.set(hostA, "account_tenant_count", fmt.Sprint(limit))
	var made atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := h.signUp(hostA, fmt.Sprintf("many%d", i))
			if r.status == 200 {
				made.Add(1)
				return
			}
			r.fails(507, "InsufficientStorage", "may have 4 accounts")
		})
	}
	all.Wait()
	if got := made.Load(); got != limit-1 {
		t.Errorf("%d accounts were made beside the one, of %d allowed", got, limit)
	}
	full, err := h.tenants.Get(t.Context(), hostA)
	if err != nil {
		t.Fatal(err)
	}
	by := act.Operator{Operator: auth.Operator{Name: "test", Role: auth.RoleOwner}}
	if _, _, err := h.acts.CreateAccount(t.Context(), full, by, account.Request{Handle: "byhand." + hostA, Email: h.email("byhand")}); !errors.Is(err, act.ErrAccountQuota) {
		t.Errorf("an operator of the tenant makes an account beyond the quota: %v", err)
	}
	if got := h.reached(h.a.ID); got != "[accounts]" {
		t.Errorf("the operator sees %s", got)
	}
	h.createAccount(hostB, "alice") // another tenant's is another
	alice.create(custom, "one", obj{"$type": custom}).ok()
	h.admin(hostA, "deleteAccount", obj{"did": alice.did}).ok()
	h.signUp(hostA, "later").ok()
	h.check()
}

// Records and files share one quota, and what is read, deleted and taken along is not touched by it.
func TestStorageQuota(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	note := obj{"$type": custom, "text": "a"}
	file := alice.upload(randomBytes(4000)).ok().at("blob")
	alice.create(custom, "file", obj{"$type": custom, "file": file}).ok()
	h.set(hostA, "storage_tenant_bytes", "5000")
	alice.create(custom, "one", note).ok()
	if err := h.meter.Flush(t.Context()); err != nil { // from here on it knows what is stored
		t.Fatal(err)
	}
	big := obj{"$type": custom, "text": fmt.Sprintf("%01000d", 0)}
	alice.create(custom, "big", big).fails(507, "InsufficientStorage", "may take 5000 bytes together")
	alice.upload(randomBytes(2000)).fails(507, "InsufficientStorage", "")
	if got := h.reached(h.a.ID); got != "[bytes]" {
		t.Errorf("the operator sees %s", got)
	}
	alice.ask("com.atproto.repo.listRecords", "repo", alice.did, "collection", custom).ok()
	if len(alice.car()) == 0 {
		t.Error("no export")
	}
	alice.del(custom, "file").ok()
	if err := h.meter.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	alice.create(custom, "big", big).ok()
	h.check()
}

// Beyond its requests of the day a tenant takes nothing new. It is read, cleaned and left as before, and the next day it
// goes on.
func TestRequestQuota(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	alice.create(custom, "one", obj{"$type": custom}).ok()
	h.set(hostA, "request_tenant_day", "1")
	full := func(r reply) {
		t.Helper()
		r.fails(429, "RateLimitExceeded", "1 times a day")
		if r.header.Get("Retry-After") == "" {
			t.Error("it is not said when it goes on")
		}
	}
	full(alice.create(custom, "", obj{"$type": custom}))
	full(alice.put(custom, "one", obj{"$type": custom, "text": "b"}))
	full(alice.upload(randomBytes(10)))
	full(alice.importCAR(alice.car()))
	full(h.signUp(hostA, "bob"))
	writes := func(list ...any) reply {
		return alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list})
	}
	full(writes(obj{"$type": "com.atproto.repo.applyWrites#create", "collection": custom, "value": obj{"$type": custom}}))
	if got := h.reached(h.a.ID); got != "[requests]" {
		t.Errorf("the operator sees %s", got)
	}
	lines := 0
	for _, l := range *h.log.text.Load() {
		if strings.Contains(l, "reached a quota") {
			lines++
		}
	}
	if lines != 1 {
		t.Errorf("%d lines in the log about one quota on one day", lines)
	}

	alice.ask("com.atproto.server.getSession").ok()
	alice.read(custom, "one").ok()
	writes(obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": custom, "rkey": "one"}).ok()
	h.createAccount(hostB, "bob")
	h.clock.add(24 * time.Hour)
	h.set(hostA, "request_tenant_day", "1000000")
	again := h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.did, "password": userPassword}).ok()
	h.post(hostA, "com.atproto.repo.createRecord", bearer(again.str("accessJwt")), obj{"repo": alice.did, "collection": custom, "record": obj{"$type": custom}}).ok()
	h.check()
}

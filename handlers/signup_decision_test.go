package handlers

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
)

// Applicants hear of the decision in the language in which they signed up, and only then: their addresses are unproven
// before, and whoever signs up sees the place in the queue.
func TestSignupDecisionMail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "signup", "approval", "mail_language", "fr")
	apply := func(label, lang string) *user {
		t.Helper()
		r := h.raw("POST", hostA, "/xrpc/"+createAccount, obj{"handle": label + "." + hostA, "email": label + "@example.com", "password": userPassword}, "Accept-Language: "+lang).ok()
		return &user{h, hostA, r.str("did"), r.str("handle"), r.str("accessJwt"), r.str("refreshJwt")}
	}
	alice, bob := apply("alice", "de-AT"), apply("bob", "sv")
	if got := h.queued(h.a); len(got) != 0 {
		t.Errorf("mail on arrival: %+v", got)
	}
	h.status(hostA, alice.did, nil, false).ok()
	h.admin(hostA, "deleteAccount", obj{"did": bob.did}).ok()
	got := h.queued(h.a)
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []queuedMail{
		{"alice@example.com", mail.Note{Kind: mail.KindSignupApproved, Lang: "de", Handle: alice.handle}},
		{"bob@example.com", mail.Note{Kind: mail.KindSignupRejected, Lang: "fr", Handle: bob.handle}},
	} {
		if got[i] != want {
			t.Errorf("%+v, want %+v", got[i], want)
		}
	}
	// Deciding again tells nobody anything.
	h.status(hostA, alice.did, nil, false).ok()
	h.admin(hostA, "deleteAccount", obj{"did": bob.did}).fails(400, "NotFound", "")
	if n := len(h.queued(h.a)); n != 2 {
		t.Errorf("%d messages", n)
	}
	h.check()
}

// noDID says that nobody leads to an account through the DID: the directory never heard of it, or has a tombstone.
func (h *house) noDID(did string) (ended bool) {
	h.t.Helper()
	_, err := h.plc.Resolve(h.t.Context(), did)
	if !errors.Is(err, identity.ErrDIDNotFound) && !errors.Is(err, identity.ErrDIDTombstoned) {
		h.t.Errorf("%s dangles: %v", did, err)
	}
	return errors.Is(err, identity.ErrDIDTombstoned)
}

// An approval that dies between the directory and the account can be rejected: the DID is ended.
func TestRejectAfterCrashedApproval(t *testing.T) {
	t.Parallel()
	h, p := faultyHouse(t)
	h.set(hostA, "signup", "approval")
	cuts, ended, opened := int64(0), 0, 0
	for trip := 1; trip <= 30; trip++ {
		before := cuts
		for _, lost := range []bool{trip%2 == 0} { // before it happens, or after
			u := h.createAccount(hostA, fmt.Sprintf("u%d%v", trip, lost))
			aid := h.aid(h.a, u.did)
			if lost {
				p.CutAfter(trip)
			} else {
				p.CutBefore(trip)
			}
			h.status(hostA, u.did, nil, false)
			cuts = p.Disarm()
			if h.heard(h.a, u.did, 0) != "" {
				opened++
				continue // it happened
			}
			if on := h.get(hostA, "com.atproto.temp.checkSignupQueue", bearer(u.access)).ok().at("activated"); on != false {
				t.Errorf("trip %d: activated %v, and nobody heard of it", trip, on)
			}
			h.clock.add(account.StaleAfter + time.Second)
			h.admin(hostA, "deleteAccount", obj{"did": u.did}).ok()
			if h.noDID(u.did) {
				ended++
			}
			h.leavesNothing(h.a, aid, 0)
		}
		if cuts == before {
			break
		}
	}
	if cuts < 8 || ended == 0 || opened == 0 {
		t.Errorf("%d connections cut, %d DIDs ended, %d accounts opened", cuts, ended, opened)
	}
	t.Logf("%d connections cut, %d DIDs ended, %d accounts opened", cuts, ended, opened)
	h.check()
}

// A rejection that dies anywhere is ended by the sweep, also while the directory is away at first.
func TestCrashedRejection(t *testing.T) {
	t.Parallel()
	h, p := faultyHouse(t)
	h.set(hostA, "signup", "approval")
	cuts := int64(0)
	for trip := 1; trip <= 40; trip++ {
		before := cuts
		for _, lost := range []bool{trip%2 == 0} { // before it happens, or after
			u := h.createAccount(hostA, fmt.Sprintf("u%d%v", trip, lost))
			aid := h.aid(h.a, u.did)
			h.halfApprove(u)
			h.admin(hostA, "deleteAccount", obj{"did": u.did}).fails(400, "InvalidRequest", "being approved")
			h.clock.add(account.StaleAfter + time.Second)
			if lost {
				p.CutAfter(trip)
			} else {
				p.CutBefore(trip)
			}
			h.admin(hostA, "deleteAccount", obj{"did": u.did})
			cuts = p.Disarm()
			h.clock.add(time.Minute)
			h.sweep()
			if left := query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".account_item WHERE kind = 11 AND aid = $1", aid)[0]; left == 1 {
				// The decision itself did not happen: it waits as before.
				h.admin(hostA, "deleteAccount", obj{"did": u.did}).ok()
			}
			if !h.noDID(u.did) {
				t.Errorf("trip %d: the directory never heard of the DID", trip)
			}
			h.leavesNothing(h.a, aid, 0)
			if got := h.heard(h.a, u.did, 0); got != "" {
				t.Errorf("events: %s", got)
			}
		}
		if cuts == before {
			break
		}
	}
	if cuts < 8 {
		t.Errorf("only %d connections cut", cuts)
	}
	t.Logf("%d connections cut", cuts)
}

// halfApprove is an approval whose process dies right after the directory took the operation.
func (h *house) halfApprove(u *user) {
	h.t.Helper()
	var genesis []byte
	err := h.db.Tenant(h.a.Schema).Tx(h.t.Context(), func(q *tenantdb.Queries) (err error) {
		genesis, err = account.BeginApproval(h.t.Context(), q, h.clock.Now(), h.aid(h.a, u.did))
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	op, err := identity.ParseOperation(genesis)
	if err == nil {
		err = h.plc.Submit(h.t.Context(), u.did, op)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// Two operators decide at once: one of them wins, and what the directory has agrees.
func TestDecisionsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "signup", "approval")
	for i := range 10 {
		u := h.createAccount(hostA, fmt.Sprintf("user%d", i))
		aid := h.aid(h.a, u.did)
		var wg sync.WaitGroup
		var approved, rejected reply
		wg.Go(func() { approved = h.status(hostA, u.did, nil, false) })
		wg.Go(func() { rejected = h.admin(hostA, "deleteAccount", obj{"did": u.did}) })
		wg.Wait()
		switch got := h.heard(h.a, u.did, 0); got {
		case "":
			rejected.ok()
			if approved.status == 200 {
				t.Error("approved, and nobody heard")
			}
			h.noDID(u.did)
			h.leavesNothing(h.a, aid, 0)
		case "account:active identity:" + u.handle + " sync":
			approved.ok()
			rejected.fails(400, "InvalidRequest", "being approved")
			if u.ask(getSession).ok().at("active") != true {
				t.Error("approved, and not open")
			}
		case "account:deleted":
			approved.ok() // and deleted after it was open: the purge has emptied what was said before
			rejected.ok()
			h.leavesNothing(h.a, aid, 1)
		default:
			t.Errorf("heard %q, %d %s, %d %s", got, approved.status, approved.body, rejected.status, rejected.body)
		}
	}
}

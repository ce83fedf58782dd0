package handlers

import (
	"errors"
	"testing"

	"github.com/auroralocus/locus/internal/identity"
)

func TestSignupApproval(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "signup", "approval")
	var users []*user
	for _, label := range []string{"alice", "bob", "carol"} {
		users = append(users, h.createAccount(hostA, label))
		h.clock.add(1e9)
	}
	alice, bob, carol := users[0], users[1], users[2]
	queue := func(u *user, token string) (bool, any) {
		r := h.get(hostA, "com.atproto.temp.checkSignupQueue", bearer(token)).ok()
		return r.at("activated").(bool), r.at("placeInQueue")
	}
	if on, place := queue(bob, bob.access); on || place.(interface{ String() string }).String() != "2" {
		t.Errorf("%v %v", on, place)
	}
	// Nobody hears of it, and its sessions are good for nothing but waiting.
	if got := h.heard(h.a, alice.did, 0); got != "" {
		t.Errorf("events: %s", got)
	}
	if _, err := h.plc.Resolve(t.Context(), alice.did); !errors.Is(err, identity.ErrDIDNotFound) {
		t.Errorf("the directory knows the DID: %v", err)
	}
	if s := h.get(hostA, "com.atproto.server.getSession", bearer(alice.access)).ok(); s.at("active") != false {
		t.Errorf("%s", s.body)
	}
	alice.create(custom, "", obj{"n": 1}).fails(400, "InvalidToken", "Bad token scope")
	alice.call("com.atproto.server.activateAccount", nil).fails(400, "InvalidToken", "")
	alice.call("com.atproto.server.createAppPassword", obj{"name": "x"}).fails(400, "InvalidToken", "")
	for _, r := range []reply{
		h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.handle, "password": userPassword}),
		h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil),
	} {
		token := r.ok().str("accessJwt")
		h.post(hostA, "com.atproto.server.activateAccount", bearer(token), nil).fails(400, "InvalidToken", "Bad token scope")
		alice.refresh = r.str("refreshJwt")
	}
	h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did).fails(400, "RepoDeactivated", "")
	// Approved: the DID comes into being, the network hears, the next session is whole.
	h.status(hostA, alice.did, nil, false).ok()
	if got := h.heard(h.a, alice.did, 0); got != "account:active identity:"+alice.handle+" sync" {
		t.Errorf("events: %s", got)
	}
	if doc, err := h.plc.Resolve(t.Context(), alice.did); err != nil || doc.Handle() != alice.handle {
		t.Errorf("%v %v", doc, err)
	}
	alice.access = h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil).ok().str("accessJwt")
	alice.create(custom, "", obj{"n": 1}).ok()
	if on, _ := queue(alice, alice.access); !on {
		t.Error("still waiting")
	}
	if _, place := queue(carol, carol.access); place.(interface{ String() string }).String() != "2" {
		t.Errorf("%v", place)
	}
	// Rejected: gone, without a word.
	h.admin(hostA, "deleteAccount", obj{"did": bob.did}).ok()
	h.get(hostA, "com.atproto.server.getSession", bearer(bob.access)).fails(403, "AccountNotFound", "")
	if got := h.heard(h.a, bob.did, 0); got != "" {
		t.Errorf("events: %s", got)
	}
	h.createAccount(hostA, "bob") // the name is free again
	h.set(hostA, "signup", "closed")
	h.post(hostA, "com.atproto.server.createAccount", "", obj{"handle": "dave." + hostA, "email": "dave@example.com", "password": userPassword}).fails(400, "InvalidRequest", "takes no new accounts")
	h.check()
}

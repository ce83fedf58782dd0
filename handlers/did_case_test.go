package handlers

import (
	"fmt"
	"testing"
)

// TestDIDsKeepTheirCase: two accounts whose DIDs differ in case alone are two, wherever a DID is given; a port in a
// did:web is %3A, with a capital in it.
func TestDIDsKeepTheirCase(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const lower, upper = "did:web:localhost%3A2583", "did:web:LOCALHOST%3A2583"
	var who [2]*user
	for i, did := range []string{lower, upper} {
		u := h.createAccount(hostA, []string{"alice", "bob"}[i])
		h.exec(h.a, "UPDATE pds.actor SET did = $1 WHERE did = $2", did, u.did)
		r := h.post(hostA, createSession, "", obj{"identifier": " " + did + " ", "password": userPassword}).ok()
		if r.str("did") != did || r.str("handle") != u.handle {
			t.Fatalf("%s: %s", did, r.body)
		}
		who[i] = &user{h, hostA, did, u.handle, r.str("accessJwt"), ""}
	}
	for i, u := range who {
		u.create(custom, "self", obj{"number": i}).ok()
		for _, name := range []string{u.did, u.handle} {
			r := u.ask("com.atproto.repo.getRecord", "repo", name, "collection", custom, "rkey", "self").ok()
			if fmt.Sprint(r.at("value", "number")) != fmt.Sprint(i) || r.str("uri") != "at://"+u.did+"/"+custom+"/self" {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		if r := h.get(hostA, "com.atproto.admin.getAccountInfo", asAdmin(), "did", u.did).ok(); r.str("handle") != u.handle {
			t.Errorf("%s: %s", u.did, r.body)
		}
	}
	h.post(hostA, createSession, "", obj{"identifier": "did:web:Localhost%3A2583", "password": userPassword}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, createSession, "", obj{"identifier": "ALICE.A.TEST", "password": userPassword}).ok()
	// Wrong passwords of one are not the other's.
	h.set(hostA, "rate_limits", "on")
	for range pairFree + 1 {
		h.post(hostA, createSession, "", obj{"identifier": lower, "password": "wrong"})
	}
	h.post(hostA, createSession, "", obj{"identifier": lower, "password": userPassword}).fails(429, "RateLimitExceeded", "")
	h.post(hostA, createSession, "", obj{"identifier": upper, "password": userPassword}).ok()
}

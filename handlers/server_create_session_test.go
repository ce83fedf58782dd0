package handlers

import (
	"strings"
	"testing"
	"time"
)

const createSession = "com.atproto.server.createSession"

func TestCreateSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	email := alice.ask("com.atproto.server.getSession").ok().str("email")
	for _, id := range []string{alice.handle, alice.did, email, " ALICE.a.test ", strings.ToUpper(email)} {
		r := h.post(hostA, createSession, "", obj{"identifier": id, "password": userPassword})
		r.ok()
		if r.str("did") != alice.did || r.str("handle") != alice.handle || r.str("email") != email ||
			r.at("emailConfirmed") != false || r.at("emailAuthFactor") != false || r.at("active") != true || r.at("status") != nil {
			t.Errorf("%s: %s", id, r.body)
		}
		h.get(hostA, "com.atproto.server.getSession", bearer(r.str("accessJwt"))).ok()
	}
	// An unknown account and a wrong password are told apart neither by the answer nor by its time.
	var answers []string
	for _, id := range []string{alice.handle, "nobody.a.test", "nobody@example.com", "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "", "\x00", "🦋", strings.Repeat("x", 100_000)} {
		began := time.Now()
		r := h.post(hostA, createSession, "", obj{"identifier": id, "password": "wrong"})
		r.fails(401, "AuthenticationRequired", "Invalid identifier or password")
		if took := time.Since(began); took < 350*time.Millisecond {
			t.Errorf("%.20q refused in %v", id, took)
		}
		answers = append(answers, string(r.body))
	}
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("answers differ: %s and %s", a, answers[0])
		}
	}
	h.post(hostA, createSession, "", obj{"identifier": alice.handle, "password": strings.Repeat("x", 513)}).fails(401, "AuthenticationRequired", "Password too long")
	// The other tenant does not know it.
	h.post(hostB, createSession, "", obj{"identifier": alice.did, "password": userPassword}).fails(401, "AuthenticationRequired", "Invalid identifier or password")
}

func TestSessionOfInactiveAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	signIn := func(more ...any) reply {
		in := obj{"identifier": alice.handle, "password": userPassword}
		for i := 0; i < len(more); i += 2 {
			in[more[i].(string)] = more[i+1]
		}
		return h.post(hostA, createSession, "", in)
	}
	alice.setStatus("deactivated_at", time.Now())
	r := signIn().ok()
	if r.at("active") != false || r.str("status") != "deactivated" {
		t.Errorf("%s", r.body)
	}
	if s := alice.ask("com.atproto.server.getSession").ok(); s.at("active") != false || s.str("status") != "deactivated" {
		t.Errorf("%s", s.body)
	}
	alice.create("app.bsky.feed.post", "", postRecord("x")).fails(401, "AccountDeactivated", "")
	h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil).ok()
	alice.setStatus("deactivated_at", nil)

	alice.setStatus("takedown_ref", "1")
	signIn().fails(401, "AccountTakedown", "")
	signIn("allowTakendown", false).fails(401, "AccountTakedown", "")
	signIn("allowTakendown", true, "password", "wrong").fails(401, "AuthenticationRequired", "")
	r = signIn("allowTakendown", true).ok()
	if r.at("active") != false || r.str("status") != "takendown" {
		t.Errorf("%s", r.body)
	}
	// Good for leaving with one's data, nothing else, and it cannot be refreshed.
	h.get(hostA, "com.atproto.sync.getRepo", bearer(r.str("accessJwt")), "did", alice.did).ok()
	h.get(hostA, "com.atproto.sync.getLatestCommit", bearer(r.str("accessJwt")), "did", alice.did).fails(401, "AuthenticationRequired", "Invalid authorization header")
	h.get(hostA, "com.atproto.server.getSession", bearer(r.str("accessJwt"))).fails(400, "InvalidToken", "Bad token scope")
	if rr := h.post(hostA, "com.atproto.server.refreshSession", bearer(r.str("refreshJwt")), nil); rr.status == 200 {
		t.Error("a taken-down session was refreshed")
	}
	// Tokens from before.
	alice.create("app.bsky.feed.post", "", postRecord("x")).fails(401, "AccountTakedown", "")
	alice.ask("com.atproto.server.getSession").fails(401, "AccountTakedown", "")
	h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil).fails(401, "AccountTakedown", "")
	alice.setStatus("takedown_ref", nil)
	h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil).ok()
	h.check()
}

// The document comes with the session when the tenant wants that.
func TestSessionDIDDoc(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for _, set := range []string{"true", "false"} {
		h.set(hostA, "session_did_doc", set)
		for _, r := range []reply{
			h.post(hostA, createSession, "", obj{"identifier": alice.handle, "password": userPassword}),
			alice.ask("com.atproto.server.getSession"),
			h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil),
		} {
			doc, _ := r.ok().at("didDoc").(obj)
			if (doc["id"] == alice.did) != (set == "true") {
				t.Errorf("session_did_doc=%s: %s: %s", set, r.what, r.body)
			}
		}
	}
}

func TestDescribeServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get(hostA, "com.atproto.server.describeServer", "").ok()
	if r.str("did") != h.a.ServiceDID || r.at("availableUserDomains").(list)[0] != ".a.test" || r.at("inviteCodeRequired") != false ||
		r.at("blobUploadLimit") == nil || r.at("links") != nil || r.at("contact") != nil || r.at("phoneVerificationRequired") != nil {
		t.Errorf("%s", r.body)
	}
	h.set(hostA, "signup", "invite", "privacy_policy_url", "https://a.test/privacy", "contact_email", "x@a.test", "blob_upload_limit", "2048")
	r = h.get(hostA, "com.atproto.server.describeServer", "Authorization: junk").ok() // public: the header does not matter
	if r.at("inviteCodeRequired") != true || r.str("links", "privacyPolicy") != "https://a.test/privacy" || r.at("links", "termsOfService") != nil ||
		r.str("contact", "email") != "x@a.test" || string(r.body) == "" {
		t.Errorf("%s", r.body)
	}
	h.set(hostA, "signup", "closed") // nobody has a code, so clients offer no sign-up
	if r = h.get(hostA, "com.atproto.server.describeServer", "").ok(); r.at("inviteCodeRequired") != true || r.at("availableUserDomains").(list)[0] != ".a.test" {
		t.Errorf("%s", r.body)
	}
	if h.get(hostB, "com.atproto.server.describeServer", "").ok().str("did") != h.b.ServiceDID {
		t.Error("the tenants are mixed up")
	}
}

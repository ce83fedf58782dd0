package handlers

import (
	"strings"
	"testing"
)

// What clients of the reference server compare answers with: docs/compatibility.md has the rest.
func TestAnswersOfTheReference(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")

	// JSON is sent with its charset, whoever sends it, compressed or not.
	list := "/xrpc/com.atproto.repo.listRecords?collection=app.bsky.feed.post&repo=" + alice.did
	for range 20 {
		alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": "app.bsky.feed.post", "record": obj{
			"$type": "app.bsky.feed.post", "text": strings.Repeat("x", 200), "createdAt": "2026-01-02T03:04:05.678Z", "langs": []string{"en"},
		}}).ok()
	}
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/xrpc/com.atproto.server.describeServer", 200}, {list, 200}, {"/xrpc/_health", 200}, {"/.well-known/did.json", 200}, {"/openapi.json", 200},
		{"/xrpc/com.atproto.server.getSession", 401}, {"/xrpc/com.atproto.repo.createRecord", 400}, {"/xrpc/com.example.nothing", 400}, {"/nothing", 404},
		{"/xrpc/com.atproto.sync.getBlob?did=" + alice.did + "&cid=x", 400}, {"/xrpc/com.atproto.sync.subscribeRepos?cursor=x", 400},
	} {
		for _, encoding := range []string{"identity", "gzip"} {
			r := h.raw("GET", hostA, c.path, nil, "Accept-Encoding: "+encoding)
			if ct := r.header.Get("Content-Type"); r.status != c.status || ct != "application/json; charset=utf-8" {
				t.Errorf("%s (%s): %d, Content-Type %q", c.path, encoding, r.status, ct)
			}
			if c.path == list && (r.header.Get("Content-Encoding") == "gzip") != (encoding == "gzip") {
				t.Errorf("%s: asked for %s, got %q", c.path, encoding, r.header.Get("Content-Encoding"))
			}
		}
	}
	// Only JSON is.
	for path, want := range map[string]string{"/xrpc/com.atproto.sync.getRepo?did=" + alice.did: "application/vnd.ipld.car", "/robots.txt": "text/plain; charset=utf-8"} {
		if ct := h.raw("GET", hostA, path, nil).header.Get("Content-Type"); ct != want {
			t.Errorf("%s: Content-Type %q", path, ct)
		}
	}

	// Operators' methods know one refusal for who shows nothing and who shows something wrong.
	walked := 0
	for nsid, op := range h.server.Operations {
		if op.Class != "operator" {
			continue
		}
		walked++
		for _, headers := range [][]string{nil, {"Authorization: Basic eDp5"}} {
			h.raw(op.Kind.Verb(), hostA, "/xrpc/"+nsid+"?did="+alice.did+"&dids="+alice.did, nil, headers...).
				fails(401, "AuthenticationRequired", "Authentication Required")
		}
	}
	if walked < 15 {
		t.Errorf("%d methods only", walked)
	}

	// Who moves to where the account is already.
	token := alice.ask("com.atproto.server.getServiceAuth", "aud", alice.tenant().ServiceDID, "lxm", createAccount).ok().str("token")
	h.post(hostA, createAccount, bearer(token), obj{"did": alice.did, "handle": "other.a.test", "email": h.email("other"), "password": userPassword}).
		fails(400, "AlreadyExists", "Repo already exists")

	h.post(hostA, createSession, "", obj{"identifier": alice.handle, "password": strings.Repeat("x", 513)}).
		fails(401, "AuthenticationRequired", "Password too long. Consider resetting your password.")
}

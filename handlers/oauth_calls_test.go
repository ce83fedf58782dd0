package handlers

import (
	"net/http"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

const everything = "atproto transition:generic transition:chat.bsky transition:email"

// TestOAuthNonces: every answer has the nonce for the next proof, whatever became of the call, and a browser may read it.
func TestOAuthNonces(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	up := newUpstream(t)
	h.set(hostA, "app_view", up.as("bsky_appview"))
	app := h.createAccount(hostA, "alice").letIn(everything)
	nonce := h.sessions.Nonce(t.Context(), h.a)[0]
	up.will(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("DPoP-Nonce", "the other server's")
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	})
	const session, list = "/xrpc/com.atproto.server.getSession", "/xrpc/" + timeline
	for name, r := range map[string]reply{
		"a page": h.raw("GET", hostA, "/", nil), "nothing there": h.raw("GET", hostA, "/nothing", nil), "public": h.raw("GET", hostA, "/xrpc/com.atproto.server.describeServer", nil),
		"no token": h.raw("GET", hostA, session, nil), "session": h.raw("GET", hostA, session, nil, bearer(app.access)), "wrong session": h.raw("GET", hostA, session, nil, bearer("x")),
		"OAuth": app.does("GET", session, nil), "no nonce": h.raw("GET", hostA, session, nil, "Authorization: DPoP "+app.token, app.prove("GET", session, func(p *oauthtest.Proof) { p.Nonce = "" })),
		"bad path": h.raw("GET", hostA, "/xrpc//", nil), "bad name": h.raw("GET", hostA, "/xrpc/x", nil), "wrong verb": h.raw("POST", hostA, session, nil), "bad parameter": h.raw("GET", hostA, "/xrpc/com.atproto.sync.getBlob?did=x", nil),
		"nowhere": h.raw("GET", hostA, "/xrpc/org.auroralocus.nothing", nil), "called elsewhere": app.does("GET", list, nil), "called elsewhere, refused": h.raw("GET", hostA, list, nil),
		"called elsewhere, no nonce": h.raw("GET", hostA, list, nil, "Authorization: DPoP "+app.token, app.prove("GET", list, func(p *oauthtest.Proof) { p.Nonce = "" })),
		"no stream":                  h.raw("GET", hostA, "/xrpc/com.atproto.sync.subscribeRepos", nil), "refused by its rule": app.does("POST", "/xrpc/com.atproto.server.activateAccount", nil),
	} {
		if got := r.header.Values("DPoP-Nonce"); len(got) != 1 || got[0] != nonce {
			t.Errorf("%s (%d): DPoP-Nonce %q", name, r.status, got)
		}
		if name == "called elsewhere" && (r.status != 200 || r.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
	}
	s, answer, err := h.dial(hostA, "/xrpc/com.atproto.sync.subscribeRepos")
	if err != nil {
		t.Fatal(err)
	}
	_ = s.conn.CloseNow()
	if got := answer.Header.Get("DPoP-Nonce"); got != nonce {
		t.Errorf("a stream: %q", got)
	}
	if b := h.raw("GET", hostB, session, nil).header.Get("DPoP-Nonce"); b == "" || b == nonce {
		t.Errorf("another tenant's nonce: %q", b)
	}
	// What browsers ask and read.
	r := h.raw("GET", hostA, session, nil, "Origin: https://app.example.com")
	for _, name := range []string{"DPoP-Nonce", "WWW-Authenticate"} {
		if !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed: %q", name, r.header.Get("Access-Control-Expose-Headers"))
		}
	}
	r = h.raw("OPTIONS", hostA, session, nil, "Origin: https://app.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization,content-type,dpop")
	if r.status/100 != 2 || r.header.Get("Access-Control-Allow-Headers") != "authorization,content-type,dpop" || r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight: %d %v", r.status, r.header)
	}
}

// TestOAuthChallenges: what clients read of a refusal, and what of two mistakes is told.
func TestOAuthChallenges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	app := h.createAccount(hostA, "alice").letIn("atproto")
	const session, write = "/xrpc/com.atproto.server.getSession", "/xrpc/com.atproto.repo.createRecord"
	call := func(verb, target string, body any, authorization string, change func(*oauthtest.Proof)) reply {
		path, _, _ := strings.Cut(target, "?")
		return h.raw(verb, hostA, target, body, authorization, app.prove(verb, path, change))
	}
	dpop := "Authorization: DPoP " + app.token
	stale := func(p *oauthtest.Proof) { p.Nonce = "old" }
	challenge := func(r reply, name string) {
		t.Helper()
		r.fails(401, name, "")
		if got := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `DPoP algs="ES256 `) || !strings.Contains(got, `error="`+name+`"`) || !strings.Contains(got, `error_description="`) || strings.Count(got, `"`)%2 != 0 {
			t.Errorf("%s: WWW-Authenticate %q", name, got)
		}
	}
	r := call("GET", session, nil, dpop, stale)
	challenge(r, "use_dpop_nonce")
	given := r.header.Get("DPoP-Nonce")
	call("GET", session, nil, dpop, func(p *oauthtest.Proof) { p.Nonce = given }).ok()
	proof := app.prove("GET", session, nil)
	h.raw("GET", hostA, session, nil, dpop, proof).ok()
	challenge(h.raw("GET", hostA, session, nil, dpop, proof), "invalid_dpop_proof")
	challenge(h.raw("GET", hostA, session, nil, dpop), "invalid_dpop_proof")
	challenge(h.raw("GET", hostA, session, nil, dpop, proof, proof), "invalid_dpop_proof")
	challenge(call("GET", session, nil, dpop+"x", nil), "invalid_dpop_proof") // its ath is another's
	challenge(call("GET", session, nil, "Authorization: Bearer "+app.token, nil), "invalid_token")
	challenge(call("GET", session, nil, "Authorization: DPoP x", func(p *oauthtest.Proof) { p.Token = "x" }), "invalid_token")
	for _, bad := range []string{"Authorization: DPoP", dpop + " x", "Authorization: DPoP  " + app.token, "Authorization: Token " + app.token} {
		if r := call("GET", session, nil, bad, nil); r.status != 400 {
			t.Errorf("%.40s: %d %s", bad, r.status, r.body)
		} else {
			r.fails(400, "InvalidToken", "")
		}
	}
	call("GET", session, nil, "Authorization: dPoP "+app.token, nil).ok()
	call("GET", session+"?x=1", nil, dpop, func(p *oauthtest.Proof) { p.URL += "?y=2" }).ok() // queries do not count

	// query, then proof, then token, then scope, then body.
	call("GET", "/xrpc/com.atproto.sync.getBlob?did=x", nil, dpop, stale).fails(400, "InvalidRequest", "")
	challenge(call("POST", write, []byte("{"), dpop, stale), "use_dpop_nonce")
	challenge(call("POST", write, []byte("{"), "Authorization: DPoP x", func(p *oauthtest.Proof) { p.Token = "x" }), "invalid_token")
	good := obj{"repo": app.did, "collection": "app.bsky.feed.post", "record": obj{"$type": "app.bsky.feed.post", "text": "x", "createdAt": "2026-01-01T00:00:00Z"}}
	r = call("POST", write, good, dpop, nil)
	r.fails(403, "ScopeMissingError", "repo:app.bsky.feed.post")
	if got := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "DPoP ") || !strings.Contains(got, `error="insufficient_scope"`) || !strings.Contains(got, `scope="repo:app.bsky.feed.post?action=create"`) {
		t.Errorf("WWW-Authenticate %q", got)
	}
	all := app.letIn(everything)
	all.does("POST", write, good).ok()
	all.does("POST", write, []byte("{"), "Content-Type: application/json").fails(400, "InvalidRequest", "")
}

// TestOAuthStates: what happens to the account is seen by the next call.
func TestOAuthStates(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const session, write = "/xrpc/com.atproto.server.getSession", "/xrpc/com.atproto.repo.createRecord"
	post := func(a *oauthApp) reply {
		return a.does("POST", write, obj{"repo": a.did, "collection": "com.example.thing", "record": obj{"$type": "com.example.thing"}})
	}
	alice := h.createAccount(hostA, "alice")
	app := alice.letIn(everything)
	post(app).ok()
	// Signed out everywhere.
	err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		_, err := account.EndSessions(t.Context(), q, app.session.AID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	post(app).fails(401, "invalid_token", "")
	// Taken down.
	bob := h.createAccount(hostA, "bob")
	app = bob.letIn(everything)
	app.does("GET", session, nil).ok()
	h.post(hostA, "com.atproto.admin.updateSubjectStatus", asAdmin(), obj{"subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": bob.did}, "takedown": obj{"applied": true}}).ok()
	if r := post(app); r.status != 401 {
		t.Errorf("taken down: %d %s", r.status, r.body)
	}
	if r := app.does("GET", session, nil); r.status != 401 {
		t.Errorf("taken down: %d %s", r.status, r.body)
	}
}

// BenchmarkCall compares a call with a session token and one with an OAuth token, over a socket.
func BenchmarkCall(b *testing.B) {
	h := newHouse(b)
	alice := h.createAccount(hostA, "alice")
	app := alice.letIn(everything)
	const method = "/xrpc/com.atproto.server.getServiceAuth?aud=did:web:example.com&lxm=com.example.method"
	const path = "/xrpc/com.atproto.server.getServiceAuth"
	b.Run("session", func(b *testing.B) {
		for b.Loop() {
			h.raw("GET", hostA, method, nil, bearer(alice.access)).ok()
		}
	})
	b.Run("dpop", func(b *testing.B) {
		var headers [][2]string
		for range b.N {
			headers = append(headers, [2]string{"Authorization: DPoP " + app.token, app.prove("GET", path, nil)})
		}
		b.ResetTimer()
		for i := range b.N {
			h.raw("GET", hostA, method, nil, headers[i][0], headers[i][1]).ok()
		}
	})
}

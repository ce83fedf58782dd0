package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/proxy"
)

// TestProxyCallers: who may call what elsewhere, by credential, by the account's state and by the method's name.
func TestProxyCallers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := newUpstream(t)
	h.set(hostA, "app_view", u.as("bsky_appview"), "report_service", u.as("atproto_labeler"), "moderation_service", u.as("atproto_labeler"))
	alice := h.createAccount(hostA, "alice")
	app, privileged := alice.app("app", false), alice.app("priv", true)
	const badMethod = "Bad token method"
	for nsid := range protectedMethods {
		for _, name := range []string{strings.ToUpper(nsid), "com.atproto.server.GETSESSION"} {
			h.raw("GET", hostA, "/xrpc/"+name, nil, bearer(alice.access)).fails(400, "InvalidToken", badMethod)
		}
	}
	for _, tt := range []struct {
		nsid            string
		app, privileged bool
	}{
		{timeline, true, true},
		{"chat.bsky.convo.listConvos", false, true},
		{"CHAT.bsky.convo.newMethod", false, true},
		{"chat.bsky.moderation.getActorMetadata", false, false},
		{"com.atproto.server.CREATEACCOUNT", false, true},
		{"tools.ozone.moderation.queryStatuses", false, false},
		{"TOOLS.OZONE.moderation.queryStatuses", false, false},
		{"com.atproto.admin.somethingNew", false, false},
	} {
		for caller, may := range map[*user]bool{alice: true, app: tt.app, privileged: tt.privileged} {
			if r := caller.ask(tt.nsid); may {
				r.ok()
			} else {
				r.fails(400, "InvalidToken", badMethod)
			}
		}
	}
	before := u.count()
	h.get(hostA, timeline, "").fails(401, "AuthMissing", "Authentication Required")
	h.get(hostA, timeline, asAdmin()).fails(400, "InvalidToken", "Unexpected authorization type")
	h.get(hostA, timeline, bearer(alice.refresh)).fails(400, "InvalidToken", "")
	h.get(hostA, timeline, h.serviceTokens(alice)(h.a.ServiceDID, timeline)).fails(400, "InvalidToken", "")
	h.get(hostA, "org.auroralocus.server.noSuch", bearer(alice.access)).fails(501, "MethodNotImplemented", "")
	for _, verb := range []string{"PUT", "DELETE", "PATCH"} {
		h.raw(verb, hostA, "/xrpc/"+timeline, nil, bearer(alice.access)).fails(400, "InvalidRequest", "XRPC requests only supports GET and POST")
	}
	for _, path := range []string{"app%2Ebsky.feed.getListFeed", "app.bsky.feed.getListFeed%20", "app..bsky"} {
		h.raw("GET", hostA, "/xrpc/"+path, nil, bearer(alice.access)).fails(400, "InvalidRequest", "invalid xrpc path")
	}
	// The other tenant's account is nobody here.
	bob := h.createAccount(hostB, "bob")
	h.get(hostA, timeline, bearer(bob.access)).fails(400, "InvalidToken", "")
	if u.count() != before {
		t.Error("the service heard of calls that were refused")
	}
	// A deactivated account goes on reading.
	alice.setStatus("deactivated_at", time.Now())
	alice.ask(timeline).ok()
	alice.setStatus("deactivated_at", nil)
	// A taken-down one appeals, and no more, whichever token it has.
	h.status(hostA, alice.did, true, nil).ok()
	alice.ask(timeline).fails(401, "AccountTakedown", "")
	app.ask(timeline).fails(401, "AccountTakedown", "")
	down := *alice
	down.access = h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.did, "password": userPassword, "allowTakendown": true}).ok().str("accessJwt")
	down.ask(timeline).fails(400, "InvalidToken", "Bad token scope")
	down.ask("chat.bsky.convo.listConvos").fails(400, "InvalidToken", "Bad token scope")
	u.will(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":7,"reasonType":"com.atproto.moderation.defs#reasonAppeal","subject":{"$type":"com.atproto.admin.defs#repoRef","did":"%[1]s"},"reportedBy":"%[1]s","createdAt":"2026-01-02T03:04:05.678Z"}`, alice.did)
	})
	appeal := obj{"reasonType": "com.atproto.moderation.defs#reasonAppeal", "reason": "not me", "subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": alice.did}}
	if id := down.call(methodCreateReport, appeal).ok().at("id"); fmt.Sprint(id) != "7" {
		t.Errorf("id %v", id)
	}
	if got := string(u.last().body); !strings.Contains(got, "reasonAppeal") || !strings.Contains(got, "not me") {
		t.Errorf("the report came as %s", got)
	}
	u.will(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		fmt.Fprint(w, `{"error":"InvalidRequest","message":"once is enough"}`)
	})
	down.call(methodCreateReport, appeal).fails(400, "InvalidRequest", "once is enough")
}

// TestMayCallFailsClosed: a credential that the one place does not know may nothing.
func TestMayCallFailsClosed(t *testing.T) {
	for _, scope := range []auth.Scope{"", auth.ScopeService, auth.ScopeSignupQueued, auth.ScopeRefresh, "atproto transition:generic"} {
		if mayCall(auth.Account{Scope: scope}, "did:web:x.example#a", timeline) == nil {
			t.Errorf("%q may call", scope)
		}
	}
}

// TestProxyHeaderErrors: what a header that names no service gets, in the words that clients know.
func TestProxyHeaderErrors(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := newUpstream(t)
	alice := h.createAccount(hostA, "alice")
	for header, want := range map[string]string{
		"#bsky_appview":                      "no did specified in proxy header",
		"#":                                  "no did specified in proxy header",
		"foo":                                "no service id specified in proxy header",
		"did:plc:foo":                        "no service id specified in proxy header",
		"did:plc:foo#":                       "no service id specified in proxy header",
		"did:plc:foo#bar#baz":                "invalid proxy header format",
		"did:plc:foo#bar baz":                "proxy header cannot contain spaces",
		"did:plc:foo #bar":                   "proxy header cannot contain spaces",
		"foo#bar":                            "Poorly formatted DID: foo",
		"did:web:x.example:path#bar":         "Poorly formatted DID: did:web:x.example:path",
		"did:key:z6MkhaXg#bar":               "Unsupported DID method: did:key:z6MkhaXg",
		"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#x": "could not resolve proxy did",
		u.did + "#nothing":                   "could not resolve proxy did service url",
		u.did + "#bad_url":                   "could not resolve proxy did service url",
	} {
		r := h.raw("GET", hostA, "/xrpc/"+timeline, nil, bearer(alice.access), "Atproto-Proxy: "+header)
		r.fails(400, "InvalidRequest", want)
		if got := r.str("message"); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	// Nobody makes this server look for a DID before it is known who asks.
	h.raw("GET", hostA, "/xrpc/"+timeline, nil, "Atproto-Proxy: did:plc:aaaaaaaaaaaaaaaaaaaaaaab#x").fails(401, "AuthMissing", "")
	// Parameters of a feed, and a feed that there is not.
	h.set(hostA, "app_view", u.as("bsky_appview"))
	alice.ask(methodFeed).fails(400, "InvalidRequest", "feed is required")
	alice.ask(methodFeed, "feed", "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.generator/x").fails(400, "UnknownFeed", "could not resolve feed did")
	// Registrations of devices name a service that there is.
	push := func(did any) obj { return obj{"serviceDid": did, "token": "t", "platform": "ios", "appId": "app"} }
	alice.call("app.bsky.notification.registerPush", push("did:web:nowhere.example")).fails(400, "InvalidRequest", "could not find the service")
	alice.call("app.bsky.notification.registerPush", push("did:key:x")).fails(400, "InvalidRequest", "invalid notification service did")
	alice.call("app.bsky.notification.registerPush", push(7)).fails(400, "InvalidRequest", "serviceDid must be a string")
	alice.call("app.bsky.notification.registerPush", "{").fails(400, "InvalidRequest", "Content-Type")
	alice.ask("app.bsky.notification.registerPush").fails(400, "InvalidRequest", "Incorrect HTTP method")
}

// TestProxySSRF: a document that names an address inside is not believed, whoever asks; an operator's setting may.
func TestProxySSRF(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.log.allowed.Store(true)
	u := newUpstream(t)
	private, err := outbound.ParsePrivate("127.0.0.1:" + u.port())
	if err != nil {
		t.Fatal(err)
	}
	// As in production: nothing that is not public, but what the operator names for services that are named in settings.
	strict := outbound.Policy{AnyPort: true, AsSent: true, Timeout: -1}
	named := strict
	named.Private = private
	p := proxy.New(proxy.Config{
		Public: outbound.New(strict).Transport, Named: outbound.New(named).Transport, Documents: h.documents, Now: h.clock.Now,
		Signer: h.signer,
	})
	alice := h.createAccount(hostA, "alice")
	caller := proxy.Caller{Tenant: h.a, AID: h.aid(h.a, alice.did), DID: alice.did, Asks: identity.Asker{Scope: "x"}}
	call := func(w proxy.Wish) error {
		target, err := p.Find(t.Context(), caller.Asks, w)
		if err != nil {
			return err
		}
		answer, err := p.Get(t.Context(), caller, target, timeline, "", nil)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err
	}
	wish, err := p.Wish(h.a, timeline, u.did+"#bsky_appview") // whose document says http://127.0.0.1
	if err != nil {
		t.Fatal(err)
	}
	if err := call(wish); err == nil || !strings.Contains(err.Error(), outbound.ErrUnsafeAddress.Error()) {
		t.Errorf("a document's private address: %v", err)
	}
	h.set(hostA, "app_view", "did:web:view.example=http://127.0.0.1:"+u.port())
	h.a, _ = h.tenants.Get(t.Context(), hostA)
	wish, err = p.Wish(h.a, timeline, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := call(wish); err != nil {
		t.Errorf("the operator's: %v", err)
	}
	before := u.count()
	for _, address := range []string{
		"http://127.0.0.1:1", "https://127.0.0.1:" + u.port(), "https://10.0.0.1", "https://169.254.169.254", "https://[::1]", "https://[::ffff:127.0.0.1]:" + u.port(), "https://[64:ff9b::7f00:1]",
		"https://[2002:7f00:1::]", "https://100.64.0.1", "https://localhost:" + u.port(), "http://example.com",
	} {
		h.set(hostA, "app_view", "did:web:view.example="+address)
		if strings.HasSuffix(address, u.port()) && strings.HasPrefix(address, "https://127.0.0.1") {
			continue // the operator named host and port: https goes there, too
		}
		tn, _ := h.tenants.Get(t.Context(), hostA)
		if wish, err = p.Wish(tn, timeline, ""); err != nil {
			t.Fatal(err)
		}
		if err := call(wish); err == nil || !strings.Contains(err.Error(), outbound.ErrUnsafeAddress.Error()) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if u.count() != before {
		t.Error("an address inside was called")
	}
}

// TestProxyFairness: one account has a bounded number of calls, one tenant never all of them, and a dead service costs its
// own tenant a quick refusal.
func TestProxyFairness(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{calls: 120})
	h.log.allowed.Store(true)
	slow, fast := newUpstream(t), newUpstream(t)
	h.set(hostA, "app_view", slow.as("bsky_appview"))
	h.set(hostB, "app_view", slow.as("bsky_appview"))
	free := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(free) })
	defer letGo()
	slow.will(func(w http.ResponseWriter, _ *http.Request) {
		<-free
		fmt.Fprint(w, "{}")
	})
	bob := h.createAccount(hostB, "bob")
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	ask := func(u *user, n int) {
		for range n {
			wg.Go(func() {
				r := u.ask(timeline)
				mu.Lock()
				defer mu.Unlock()
				answers[r.status]++
			})
		}
	}
	counted := func(status int) int {
		mu.Lock()
		defer mu.Unlock()
		return answers[status]
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for range 1000 {
			if ok() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s: busy %d, answers %v", what, h.proxy.Busy(), answers)
	}
	// Of 120 places one account alone has a quarter, one host of one tenant a third, one tenant half.
	alice, carol := h.createAccount(hostA, "alice"), h.createAccount(hostA, "carol")
	ask(alice, 50)
	await("alice", func() bool { return h.proxy.Busy() == 30 && counted(503) == 20 })
	ask(carol, 50)
	await("carol", func() bool { return int(h.proxy.Busy())+counted(503) == 100 })
	if n := h.proxy.Busy(); n <= 30 || n > 40 {
		t.Errorf("one host of one tenant has %d of 120", n)
	}
	// The other tenant has its share, at the same host; and this tenant's callers have another host.
	before := h.proxy.Busy()
	ask(bob, 10)
	await("bob", func() bool { return h.proxy.Busy() == before+10 })
	h.raw("GET", hostA, "/xrpc/"+timeline, nil, bearer(alice.access), fast.header("bsky_appview")).ok()
	letGo()
	wg.Wait()
	h.settles()
}

// TestProxyAccountCalls: 64 calls of one account, and the next is told to wait.
func TestProxyAccountCalls(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := newUpstream(t)
	h.set(hostA, "app_view", u.as("bsky_appview"))
	alice := h.createAccount(hostA, "alice")
	free := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(free) })
	defer letGo()
	u.will(func(w http.ResponseWriter, _ *http.Request) {
		<-free
		fmt.Fprint(w, "{}")
	})
	var wg sync.WaitGroup
	for range proxy.AccountCalls {
		wg.Go(func() { alice.ask(timeline).ok() })
	}
	for range 1000 {
		if h.proxy.Busy() == proxy.AccountCalls {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	r := alice.ask(timeline)
	r.fails(429, "RateLimitExceeded", "Too many requests at once")
	if r.header.Get("Retry-After") != "1" {
		t.Errorf("%v", r.header)
	}
	letGo()
	wg.Wait()
	h.settles()
	alice.ask(timeline).ok()
}

// TestProxyDeadService: after a few calls without an answer a service is not asked for a while, then one call tries.
func TestProxyDeadService(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := newUpstream(t)
	h.set(hostA, "app_view", u.as("bsky_appview"))
	h.set(hostB, "app_view", u.as("bsky_appview"))
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	dead := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	u.will(dead)
	unreachable := func(u *user) {
		u.call("app.bsky.x.y", nil).fails(502, "UpstreamFailure", "Upstream service unreachable")
	}
	for range 5 {
		unreachable(alice)
	}
	before := u.count()
	for range 20 {
		unreachable(alice)
	}
	if u.count() != before {
		t.Errorf("%d calls of a dead service", u.count()-before)
	}
	unreachable(bob) // its own experience
	if u.count() != before+1 {
		t.Error("the other tenant's call was not made")
	}
	h.clock.add(3 * time.Second)
	unreachable(alice) // one tries
	unreachable(alice)
	if u.count() != before+2 {
		t.Errorf("%d calls, wanted one that tries", u.count()-before-1)
	}
	u.will(nil)
	unreachable(alice) // the pause is longer now
	h.clock.add(5 * time.Second)
	alice.call("app.bsky.x.y", nil).ok()
	alice.call("app.bsky.x.y", nil).ok()
	// A service that answers with errors is there.
	u.will(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	for range 8 {
		alice.ask(timeline).fails(503, "NotEnoughResources", "")
	}
	u.will(nil)
	alice.ask(timeline).ok()
}

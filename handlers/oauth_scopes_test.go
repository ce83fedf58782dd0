package handlers

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// lacks wants the refusal that names the scopes to ask for, in the body and in the header.
func (r reply) lacks(scopes string) {
	r.t.Helper()
	r.fails(403, "ScopeMissingError", `Missing required scope "`+scopes+`"`)
	if got, want := r.header.Get("WWW-Authenticate"), `DPoP error="insufficient_scope", scope="`+scopes+`"`; got != want {
		r.t.Errorf("%s: WWW-Authenticate %s, want %s", r.what, got, want)
	}
}

// TestScopesOfWrites: records by collection and action, all writes of a list or none, files by type.
func TestScopesOfWrites(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	a := alice.letIn("atproto repo:com.example.a repo:com.example.b?action=create repo:com.example.c?action=update blob:image/*")
	record := func(collection string) obj { return obj{"$type": collection, "text": "x"} }
	in := func(collection string, more ...any) obj {
		o := obj{"repo": alice.did, "collection": collection, "rkey": "one", "validate": false}
		for i := 0; i < len(more); i += 2 {
			o[more[i].(string)] = more[i+1]
		}
		return o
	}
	call := func(method string, body any) reply {
		t.Helper()
		return a.does("POST", "/xrpc/com.atproto.repo."+method, body)
	}
	create := func(collection string) reply {
		return call("createRecord", in(collection, "record", record(collection)))
	}
	put := func(collection string) reply { return call("putRecord", in(collection, "record", record(collection))) }
	create("com.example.a").ok()
	create("com.example.b").ok()
	create("com.example.c").lacks("repo:com.example.c?action=create")
	create("com.example.ab").lacks("repo:com.example.ab?action=create")
	put("com.example.a").ok()
	put("com.example.b").lacks("repo:com.example.b?action=create&action=update")
	put("com.example.c").lacks("repo:com.example.c?action=create&action=update")
	call("deleteRecord", in("com.example.b")).lacks("repo:com.example.b?action=delete")
	call("deleteRecord", in("com.example.a")).ok()
	// Another's repository is refused as it is to everybody.
	other := in("com.example.a", "record", record("com.example.a"))
	other["repo"] = bob.did
	call("createRecord", other).fails(401, "AuthenticationRequired", "not the caller's")

	write := func(what, collection string) obj {
		w := obj{"$type": "com.atproto.repo.applyWrites#" + what, "collection": collection, "rkey": "two"}
		if what != "delete" {
			w["value"] = record(collection)
		}
		return w
	}
	apply := func(writes ...any) reply {
		t.Helper()
		return call("applyWrites", obj{"repo": alice.did, "validate": false, "writes": append(list{}, writes...)})
	}
	head, _ := alice.head()
	apply(write("create", "com.example.a"), write("delete", "com.example.b"), write("create", "com.example.c"), write("create", "com.example.c")).lacks("repo:com.example.b?action=delete repo:com.example.c?action=create")
	if now, _ := alice.head(); now != head {
		t.Error("a part of the list was written")
	}
	apply(write("create", "com.example.a"), write("create", "com.example.b")).ok()
	apply(write("update", "com.example.b")).lacks("repo:com.example.b?action=update")
	apply().ok()

	upload := func(contentType string) reply {
		t.Helper()
		return a.does("POST", "/xrpc/com.atproto.repo.uploadBlob", "\x89PNG\r\n\x1a\n", "Content-Type: "+contentType)
	}
	upload("image/png").ok()
	upload("Image/PNG; charset=x").ok()
	upload("text/plain").lacks("blob:text/plain")
	upload("image/*").lacks("blob:image/*")

	nothing := alice.letIn("repo:* blob:*/*")
	nothing.does("POST", "/xrpc/com.atproto.repo.createRecord", in("com.example.a", "record", record("com.example.a"))).lacks("repo:com.example.a?action=create")
	nothing.does("GET", "/xrpc/com.atproto.server.getSession", nil).lacks("atproto")
}

// TestScopesOfTheAccount: the address is told to who may read it, and what only the account's page does says so.
func TestScopesOfTheAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for scopes, sees := range map[string]bool{
		"atproto": false, "atproto transition:generic": false, "atproto account:repo?action=manage": false,
		"atproto account:email": true, "atproto account:email?action=manage": true, "atproto transition:email": true,
	} {
		r := alice.letIn(scopes).does("GET", "/xrpc/com.atproto.server.getSession", nil).ok()
		for _, field := range []string{"email", "emailConfirmed", "emailAuthFactor"} {
			if (r.at(field) != nil) != sees {
				t.Errorf("%s: %s is %v", scopes, field, r.at(field))
			}
		}
		if r.str("did") != alice.did {
			t.Errorf("%s: %s", scopes, r.body)
		}
	}
	a := alice.letIn(everyScope)
	for _, method := range []string{"activateAccount", "requestAccountDelete", "requestEmailUpdate"} {
		a.does("POST", "/xrpc/com.atproto.server."+method, nil).fails(403, "Forbidden", "do it at "+h.a.PublicURL+"/account")
	}
	// Deactivating ends what apps have, the one that did it included.
	alice.letIn("atproto account:status").does("POST", "/xrpc/com.atproto.server.deactivateAccount", obj{}).lacks("account:status?action=manage")
	passwords := "SELECT count(*) FROM " + h.a.Schema.String() + ".account_item WHERE kind = 5"
	old := alice.app("old app", false)
	if n := query64(t, h.url, passwords)[0]; n != 1 {
		t.Errorf("%d app passwords", n)
	}
	a.does("POST", "/xrpc/com.atproto.server.deactivateAccount", obj{}).ok()
	if n := query64(t, h.url, passwords)[0]; n != 0 {
		t.Errorf("%d app passwords after an app deactivated the account", n)
	}
	old.ask("com.atproto.server.getSession").fails(400, "ExpiredToken", "")
	a.does("GET", "/xrpc/com.atproto.server.getSession", nil).fails(401, "invalid_token", "")
}

// TestScopesOfCalls: calls of other services by method and by the whole audience, with the name of the service.
func TestScopesOfCalls(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u, other := newUpstream(t), newUpstream(t)
	h.set(hostA, "app_view", u.as("bsky_appview"), "report_service", u.as("atproto_labeler"))
	alice := h.createAccount(hostA, "alice")
	need := func(method, aud string) string { return scope.RPC(method, aud).String() }

	wide := alice.letIn("atproto rpc:" + timeline + "?aud=*")
	wide.does("GET", "/xrpc/"+timeline, nil).ok()
	wide.does("GET", "/xrpc/"+timeline, nil, other.header("bsky_appview")).ok()
	before := u.count() + other.count()
	wide.does("GET", "/xrpc/app.bsky.feed.getTimeline", nil).lacks(need("app.bsky.feed.getTimeline", u.did+"#bsky_appview"))
	feed := "/xrpc/app.bsky.feed.getFeed?feed=at://" + alice.did + "/app.bsky.feed.generator/x"
	aud := u.did + "#bsky_appview"
	wide.does("GET", feed, nil).lacks(need("app.bsky.feed.getFeed", aud) + " " + need("app.bsky.feed.getFeedSkeleton", aud))
	alice.letIn("atproto rpc:app.bsky.feed.getFeed?aud=*").does("GET", feed, nil).lacks(need("app.bsky.feed.getFeedSkeleton", aud))
	wide.does("GET", "/xrpc/app.bsky.actor.getPreferences", nil).lacks(need("app.bsky.actor.getPreferences", aud))
	wide.does("POST", "/xrpc/app.bsky.notification.registerPush", obj{"serviceDid": u.did, "token": "t", "platform": "web", "appId": "x"}).lacks(need("app.bsky.notification.registerPush", u.did+"#bsky_notif"))
	report := obj{"reasonType": "com.atproto.moderation.defs#reasonSpam", "subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": alice.did}}
	wide.does("POST", "/xrpc/com.atproto.moderation.createReport", report).lacks(need("com.atproto.moderation.createReport", u.did+"#atproto_labeler"))
	generic := alice.letIn("atproto transition:generic")
	for _, method := range []string{"chat.bsky.convo.listConvos", "CHAT.bsky.convo.listConvos", "com.atproto.admin.somethingNew"} {
		generic.does("GET", "/xrpc/"+method, nil, u.header("bsky_chat")).lacks(need(method, u.did+"#bsky_chat"))
	}
	if u.count()+other.count() != before {
		t.Error("a service heard of calls that were refused")
	}
	generic.does("GET", "/xrpc/"+timeline, nil).ok()
	alice.letIn("atproto transition:generic transition:chat.bsky").does("GET", "/xrpc/chat.bsky.convo.listConvos", nil, u.header("bsky_chat")).ok()

	// Tokens for other services are held against the audience as it was sent.
	token := func(a *oauthApp, kv ...string) reply {
		t.Helper()
		return a.does("GET", "/xrpc/com.atproto.server.getServiceAuth"+params(kv...), nil)
	}
	const there = "did:web:api.example.com"
	one := alice.letIn("atproto rpc:com.example.m?aud=" + there + "%23svc rpc:*?aud=" + there + "%23all")
	token(one, "aud", there+"#svc", "lxm", "com.example.m").ok()
	token(one, "aud", there+"#all", "lxm", "com.example.other").ok()
	token(one, "aud", there+"#all").ok()
	token(one, "aud", there, "lxm", "com.example.m").lacks(need("com.example.m", there))
	token(one, "aud", there+"#other", "lxm", "com.example.m").lacks(need("com.example.m", there+"#other"))
	token(one, "aud", there+"#svc").lacks(need("*", there+"#svc"))
	token(generic, "aud", there).ok()
	token(generic, "aud", there, "lxm", "chat.bsky.convo.getLog").lacks(need("chat.bsky.convo.getLog", there))
	token(generic, "aud", there, "lxm", "com.atproto.server.getSession").fails(400, "InvalidRequest", "protected method")
	// The tenant's moderation service does not lend its power to its apps.
	h.set(hostA, "mod_service_did", alice.did)
	generic = alice.letIn("atproto transition:generic")
	token(generic, "aud", h.a.ServiceDID, "lxm", "app.bsky.actor.getPreferences").fails(403, "Forbidden", "moderation service")
	token(generic, "aud", h.a.ServiceDID).fails(403, "Forbidden", "moderation service")
}

// TestDocumentScopes: the documentation says of every method what the access table says.
func TestDocumentScopes(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("testdata/access.txt")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/scopes.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	columns := regexp.MustCompile(` {2,}`)
	for line := range strings.Lines(string(table)) {
		f := columns.Split(strings.TrimSpace(line), -1)
		if fields := strings.Fields(line); !strings.HasPrefix(line, "#") && len(fields) > 2 && (fields[2] == "account" || fields[2] == "overseen") {
			at := slices.IndexFunc(f, func(s string) bool { _, known := scopeTexts()[s]; return known })
			if at < 0 {
				t.Fatalf("no scope in %q", line)
			}
			want = append(want, "| `"+fields[0]+"` | `"+f[at]+"` |")
		}
	}
	const head, foot = "| Method | Needs |\n|---|---|\n", "\n\n`putRecord`"
	from, to := strings.Index(string(page), head), strings.Index(string(page), foot)
	if from < 0 || to < from {
		t.Fatal("docs/scopes.md has lost its table")
	}
	golden(t, "../docs/scopes.md", []byte(string(page[:from])+head+strings.Join(want, "\n")+string(page[to:])))
}

func scopeTexts() map[string]bool {
	out := map[string]bool{}
	for _, r := range rules {
		out[r.Scope] = true
	}
	return out
}

// TestUnknownGrantOpensNothing: a caller by OAuth of whom nobody knows what was granted may nothing.
func TestUnknownGrantOpensNothing(t *testing.T) {
	a := auth.Account{Scope: auth.ScopeOAuth}
	for _, n := range []scope.Need{scope.Any(), scope.Repo("com.example.a", scope.Create), scope.Blob("image/png"), scope.Account("email", false), scope.Identity("handle"), {}} {
		if a.Covers(n) || granted(a, n) == nil {
			t.Errorf("%q is covered", n)
		}
	}
	if mayCall(a, "did:web:x.example#y", timeline) == nil {
		t.Error("it may call")
	}
	if e := granted(a, scope.Any()); e.(interface{ GetStatus() int }).GetStatus() != http.StatusForbidden {
		t.Error(e)
	}
}

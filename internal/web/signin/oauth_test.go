package signin

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/act"
)

// TestWholeWay goes from an app's request to its code, without script.
func TestWholeWay(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	app := devApp("atproto transition:generic transition:chat.bsky")
	p := h.person()
	p.open(h.push(h.a, app, "scope", "atproto transition:generic transition:chat.bsky")).says(200, "Do you have one already?")
	p.follow("Sign in").says(200, "to continue to")
	p.press("Sign in", "identifier", "alice.a.test", "password", "wrong").says(400, "do not fit together")
	consent := p.press("Sign in", "identifier", "alice.a.test", "password", password).says(200, "Let Development client use your account?")
	for _, want := range []string{"@alice.a.test", app, "Know who you are", "almost as you do", "Far-reaching", "private messages"} {
		if !strings.Contains(consent.words, want) {
			t.Errorf("the page lacks %q: %s", want, consent.words)
		}
	}
	got := p.press("Allow").away(devBack)
	if got.Get("iss") != h.a.PublicURL || got.Get("state") != "of the app" || got.Get("code") == "" || got.Get("error") != "" {
		t.Error(got)
	}
}

// TestResponseModes: the answer comes where the app wants it.
func TestResponseModes(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	p := h.signedIn(h.a, "alice", true)
	p.open(h.push(h.a, devApp("atproto"), "response_mode", "fragment"))
	at := p.press("Allow").location
	q, err := url.ParseQuery(at.EscapedFragment())
	if err != nil || at.RawQuery != "" || q.Get("code") == "" || q.Get("iss") != h.a.PublicURL || q.Get("state") != "of the app" {
		t.Errorf("%v: %v", at, err)
	}
	p.open(h.push(h.a, devApp("atproto"), "response_mode", "form_post"))
	post := p.press("Allow").says(200, "If nothing happens, press the button.")
	f := post.forms[0]
	if f.method != "POST" || f.action != devBack || f.values.Get("code") == "" || f.values.Get("state") != "of the app" || f.values.Get("iss") != h.a.PublicURL || len(f.values) != 3 {
		t.Errorf("%+v", f)
	}
	if csp := post.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http:;") {
		t.Error(csp)
	}
}

// TestConsent: what is unticked is not granted, what is not asked for cannot be ticked, and what was granted is what is
// remembered.
func TestConsent(t *testing.T) {
	h := newHouse(t)
	did := h.account(h.a, "alice")
	all := "atproto transition:email repo:com.example.note blob:image/*"
	h.publish(trusted, all, nil)
	h.set(h.a, map[string]string{"oauth_trusted_clients": trusted})
	granted := func() string {
		t.Helper()
		s, _, err := h.acts.ConsentOf(t.Context(), h.a, h.byDID(h.a, did).AID, trusted)
		if err != nil {
			t.Fatal(err)
		}
		return s.String()
	}
	p := h.signedIn(h.a, "alice", true)
	page := p.open(h.push(h.a, trusted, "scope", all, "login_hint", "alice.a.test")).says(200, "Let An <App> use your account?")
	if strings.Contains(page.words, "does not know who is behind") || !strings.Contains(page.words, "com.example.note: add, change, delete") {
		t.Error(page)
	}
	f, b := page.button("Allow")
	f.values["allow"] = []string{"records", "identity", "generic"}
	p.submit(f, b).away(publicBack)
	if got := granted(); got != "atproto repo:com.example.note" {
		t.Error(got)
	}
	// The same again: it was not granted, so it is asked for.
	p.open(h.push(h.a, trusted, "scope", all, "login_hint", "alice.a.test")).says(200, "Let An <App> use your account?")
	p.press("Allow").away(publicBack)
	if got := granted(); got != all {
		t.Error(got)
	}
	// Now nothing is to be asked.
	if got := p.open(h.push(h.a, trusted, "scope", all, "login_hint", "alice.a.test")).away(publicBack); got.Get("code") == "" {
		t.Error(got)
	}
	// Without a hint there is one click.
	p.open(h.push(h.a, trusted, "scope", all)).says(200, "Continue to An <App>?")
	p.press("Allow").away(publicBack)
	p.open(h.push(h.a, trusted, "scope", all))
	if got := p.press("Do not allow").away(publicBack); got.Get("error") != "access_denied" || got.Get("code") != "" || got.Get("state") != "of the app" {
		t.Error(got)
	}
	// An app of nobody's asks each time, under the name of its host.
	h.set(h.a, map[string]string{"oauth_trusted_clients": ""})
	page = p.open(h.push(h.a, trusted, "scope", all, "login_hint", "alice.a.test")).says(200, "Continue to app.example.com?")
	if !strings.Contains(page.body, "<strong>app.example.com</strong>") || !strings.Contains(page.words, trusted) || !strings.Contains(page.words, "does not know who is behind") || strings.Contains(page.words, "An <App>") {
		t.Error(page)
	}
}

// TestPrompts goes through the values that an app may send.
func TestPrompts(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	h.account(h.a, "bob")
	h.publish(trusted, "atproto", nil)
	h.set(h.a, map[string]string{"oauth_trusted_clients": trusted})
	ask := func(more ...string) string { return h.push(h.a, trusted, more...) }
	refused := func(p *person, want string, more ...string) {
		t.Helper()
		got := p.open(ask(append(more, "prompt", "none")...)).away(publicBack)
		if got.Get("error") != want || got.Get("state") != "of the app" || got.Get("iss") != h.a.PublicURL {
			t.Error(got)
		}
	}
	refused(h.person(), "login_required")
	p := h.signedIn(h.a, "alice", true)
	refused(p, "consent_required")
	p.open(ask())
	p.press("Allow").away(publicBack)
	if got := p.open(ask("prompt", "none")).away(publicBack); got.Get("code") == "" {
		t.Error(got)
	}
	h.pass(time.Minute)
	p.open(ask("prompt", "login")).says(200, "asks that you enter your password again")
	p.press("Sign in", "password", "wrong").says(400, "do not fit")
	h.pass(time.Second)
	p.press("Sign in", "password", password).away(publicBack)
	p.open(ask("prompt", "consent", "login_hint", "alice.a.test")).says(200, "Continue to An <App>?")
	p.open(ask("prompt", "select_account")).says(200, "Choose an account")
	p.press("Continue as @alice.a.test").away(publicBack)
	p.open(ask("prompt", "create")).says(200, "Create an account")
	// Two of them.
	p.signIn(h.a.PublicURL+"/account/sign-in?step=sign-in", "bob.a.test", true)
	refused(p, "account_selection_required")
	p.open(ask()).says(200, "Choose an account")
	p.press("Continue as @bob.a.test").says(200, "Let An <App> use your account?")
	if got := p.open(ask("prompt", "none", "login_hint", "alice.a.test")).away(publicBack); got.Get("code") == "" {
		t.Error(got)
	}
}

// TestHint: the account that the app names is the only one that may answer.
func TestHint(t *testing.T) {
	h := newHouse(t)
	did := h.account(h.a, "alice")
	h.account(h.a, "bob")
	var p *person
	for _, hint := range []string{"alice.a.test", "ALICE.a.test", did} {
		p = h.signedIn(h.a, "bob", true)
		page := p.open(h.push(h.a, devApp("atproto"), "login_hint", hint)).says(200, "Not you?")
		f, b := page.button("Sign in")
		if strings.Contains(page.words, did) || !strings.Contains(page.words, "asked for alice.a.test") || f.values.Get("identifier") != "alice.a.test" {
			t.Error(page)
		}
		// Somebody else's handle in the locked field counts for nothing.
		f.values.Set("identifier", "bob.a.test")
		f.values.Set("password", password)
		p.submit(f, b).says(200, "use your account?")
		if !strings.Contains(p.page.words, "@alice.a.test") {
			t.Error(p.page)
		}
		p.press("Allow").away(devBack)
	}
	// Nor does an address that names another account.
	at := h.push(h.a, devApp("atproto"), "login_hint", "alice.a.test")
	p.open(at+"&account="+h.didOf(h.a, "bob")).says(200, "Not you?")
}

// TestOneRequestOneBrowser: who does something first owns the request; whoever only looks owns nothing.
func TestOneRequestOneBrowser(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	at := h.push(h.a, devApp("atproto"))
	scanner, first, second := h.person(), h.person(), h.person()
	scanner.open(at).says(200, "Sign in")
	second.open(at).says(200, "Sign in")
	second.follow("Sign in")
	first.open(at)
	first.follow("Sign in")
	first.press("Sign in", "identifier", "alice.a.test", "password", password).says(200, "use your account?")
	scanner.open(at).says(403, "opened in another browser first")
	first.open(at).says(200, "use your account?")
	// A second browser that acts ends it: one of the two is not where its owner thinks.
	second.press("Sign in", "identifier", "alice.a.test", "password", password).says(403, "opened in another browser first")
	first.press("Allow").says(400, "not known here")
}

// TestRequestsEnd: five minutes after the last visit; with its answer; and pressing twice gives one answer.
func TestRequestsEnd(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	p := h.signedIn(h.a, "alice", true)
	at := h.push(h.a, devApp("atproto"))
	for range 3 {
		p.open(at).says(200, "5 minutes")
		h.pass(4 * time.Minute)
	}
	h.pass(2 * time.Minute)
	p.press("Allow").says(400, "not known here")
	p.open(at).says(400, "begin again")

	at = h.push(h.a, devApp("atproto"))
	page := p.open(at)
	f, b := page.button("Allow")
	p.submit(f, b).away(devBack)
	p.submit(f, b).says(400, "not known here") // a second press
	p.open(at).says(400, "not known here")     // and the way back
	at = h.push(h.a, devApp("atproto"))
	p.open(at)
	p.press("Do not allow").away(devBack)
	p.open(at).says(400, "not known here")
}

// TestTwoTabs: two apps ask in one browser at the same time, with a second factor in between.
func TestTwoTabs(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	h.account(h.a, "bob")
	code := h.enrol(h.a, "alice")
	code2 := h.enrol(h.a, "bob")
	p := h.person()
	one := p.open(h.push(h.a, devApp("atproto"), "login_hint", "alice.a.test"))
	f, b := one.button("Sign in")
	f.values.Set("password", password)
	one = p.submit(f, b).says(200, "authenticator app")
	two := p.open(h.push(h.a, devApp("atproto"), "login_hint", "bob.a.test"))
	f, b = two.button("Sign in")
	f.values.Set("password", password)
	two = p.submit(f, b).says(200, "authenticator app")
	f, b = one.button("Confirm")
	f.values.Set("code", code())
	one = p.submit(f, b).says(200, "@alice.a.test")
	f, b = two.button("Confirm")
	f.values.Set("code", code2())
	two = p.submit(f, b).says(200, "@bob.a.test")
	f, b = one.button("Allow")
	p.submit(f, b).away(devBack)
	f, b = two.button("Allow")
	p.submit(f, b).away(devBack)
}

// TestPlainRequest: an app that pushes nothing is told why, and nobody is sent to the address that it names.
func TestPlainRequest(t *testing.T) {
	h := newHouse(t)
	q := url.Values{"client_id": {devApp("atproto")}, "redirect_uri": {devBack}, "response_type": {"code"}, "scope": {"atproto"}}
	h.person().open(h.a.PublicURL+"/oauth/authorize?"+q.Encode()).says(400, "pushed authorization request")
	h.person().open(h.a.PublicURL+"/oauth/authorize").says(400, "pushed authorization request")
	q.Set("request_uri", "https://evil.example/request")
	h.person().open(h.a.PublicURL+"/oauth/authorize?"+q.Encode()).says(400, "not known here")
}

// TestOtherClient: a request is its client's only.
func TestOtherClient(t *testing.T) {
	h := newHouse(t)
	at, _ := url.Parse(h.push(h.a, devApp("atproto")))
	q := at.Query()
	q.Set("client_id", trusted)
	at.RawQuery = q.Encode()
	h.person().open(at.String()).says(400, "not known here")
}

// TestTenantsApart: what belongs to one tenant is nothing at another.
func TestTenantsApart(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	h.account(h.b, "alice")
	at := h.push(h.a, devApp("atproto"))
	h.person().open(strings.Replace(at, h.a.PublicURL, h.b.PublicURL, 1)).says(400, "not known here")

	p := h.signedIn(h.a, "alice", true)
	p.cookies["b.test"] = p.cookies["a.test"]
	p.open(h.push(h.b, devApp("atproto"))).says(200, "Do you have one already?")

	// The password at one, the code at the other.
	code := h.enrol(h.a, "alice")
	h.enrol(h.b, "alice")
	p = h.person()
	p.signIn(h.a.PublicURL+"/account/sign-in", "alice.a.test", false).says(200, "authenticator app")
	waiting := p.page.forms[0].values.Get("waiting")
	p.cookies["b.test"] = p.cookies["a.test"]
	p.signIn(h.b.PublicURL+"/account/sign-in", "alice.b.test", false).says(200, "authenticator app")
	f, b := p.page.button("Confirm")
	f.values.Set("waiting", waiting)
	f.values.Set("code", code())
	p.submit(f, b).says(200, "Enter your password again")
}

// TestReactivate: a deactivated account comes back first.
func TestReactivate(t *testing.T) {
	h := newHouse(t)
	did := h.account(h.a, "alice")
	who := h.byDID(h.a, did)
	if err := h.acts.Deactivate(t.Context(), h.a, h.owner(who), nil); err != nil {
		t.Fatal(err)
	}
	p := h.person()
	p.open(h.push(h.a, devApp("atproto")))
	p.follow("Sign in")
	p.press("Sign in", "identifier", "alice.a.test", "password", password).says(200, "Your account is deactivated")
	p.press("Reactivate and continue").says(200, "use your account?")
	if h.byDID(h.a, did).Deactivated {
		t.Error("it is deactivated")
	}
	p.press("Allow").away(devBack)
	// Nobody is let in who is taken down.
	if err := h.acts.SetAccountStatus(t.Context(), h.a, act.Operator{}, did, &act.Mark{Applied: true}, nil); err != nil {
		t.Fatal(err)
	}
	p = h.person()
	p.open(h.push(h.a, devApp("atproto")))
	p.follow("Sign in")
	p.press("Sign in", "identifier", "alice.a.test", "password", password).says(403, "has been taken down")
}

// TestUnremembered: who does not want to be remembered is signed in for the one request.
func TestUnremembered(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	p := h.person()
	p.open(h.push(h.a, devApp("atproto")))
	p.follow("Sign in")
	p.press("Sign in", "identifier", "alice.a.test", "password", password).says(200, "use your account?")
	p.open(h.push(h.a, devApp("atproto"))).says(200, "Do you have one already?")
	p.open(h.a.PublicURL+"/account/sign-in").says(200, "Handle or e-mail address")
}

// TestPhoneWithoutCookies: the window that a phone opens may lose them, and says so before anybody types a password.
func TestPhoneWithoutCookies(t *testing.T) {
	h := newHouse(t)
	at := h.push(h.a, devApp("atproto"))
	p := h.person()
	p.agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
	p.open(at).says(200, "whether your browser keeps cookies")
	p.press("Continue").says(200, "Do you have one already?")
	p.open(at).says(200, "Do you have one already?") // it is known now
	lost := h.person()
	lost.agent = p.agent
	lost.open(at).says(200, "whether your browser keeps cookies")
	delete(lost.cookies, "a.test")
	lost.press("Continue").says(400, "does not keep cookies")
	delete(lost.cookies, "a.test")
	if got := lost.follow("Go back to Development client").away(devBack); got.Get("error") != "access_denied" || got.Get("error_description") != "ERR_COOKIES_UNSUPPORTED" {
		t.Error(got)
	}
}

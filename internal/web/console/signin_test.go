package console

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/passkey/passkeytest"
	"github.com/auroralocus/locus/internal/web"
)

// TestComingIn: by a link once, then with a token and a code that counts once; and out again in every way.
func TestComingIn(t *testing.T) {
	h := newHouse(t)
	own := h.tenant("own.test")
	b := h.deployment(auth.DeploymentOwner, nil)
	b.get(Root + "/").leads(Root + "/overview")
	b.get(Root+"/tenants").is(200, "own.test", "of-owner")
	if _, _, err := h.acts.DashboardLink(t.Context(), byHand(), b.ref); err == nil {
		t.Error("a link goes around a second factor")
	}
	// Signed out: the cookie is nothing any more.
	kept := b.cookie(cookieSession)
	b.post(Root + "/sign-out").leads(Root + "/sign-in")
	if _, _, err := h.acts.DashboardSee(t.Context(), kept); err == nil {
		t.Error("the session goes on")
	}
	b.get(Root+"/tenants").is(401, "Sign in").lacks("own.test")
	b.signsIn().leads(Root + "/overview")
	// A code counts once, also in another browser.
	again := h.browser()
	again.get(Root + "/sign-in")
	again.post(Root+"/sign-in", "token", b.token, "code", b.code()).is(403, "The code is not good")
	again.post(Root+"/sign-in", "token", "locusdep_guess", "code", b.code()).is(403, "The token is not good")
	// Idle, and then absolutely, it ends.
	h.pass(operator.Idle + time.Second)
	b.get(Root + "/tenants").is(401)
	b.signsIn().leads(Root + "/overview")
	for range int(operator.Life / (operator.Idle / 2)) {
		b.get(Root + "/tenants").is(200)
		h.pass(operator.Idle / 2)
	}
	b.get(Root + "/tenants").is(401)
	// Who revokes the token ends all of it.
	b.signsIn().leads(Root + "/overview")
	must(t, h.acts.RevokeDeploymentToken(t.Context(), byHand(), b.ref.Token()))
	b.get(Root + "/tenants").is(401)
	if left, err := operator.Factors(t.Context(), h.db.Control(), b.ref); err != nil || len(left) > 0 {
		t.Errorf("%d second factors are left, %v", len(left), err)
	}

	// A tenant's operator lands at its tenant and sees no other; its role counts as it is now.
	o := h.operatorOf(own, auth.RoleAdmin)
	o.get(Root + "/").leads(tenantPath("own.test"))
	o.signsIn().leads(tenantPath("own.test"))
	o.get(tenantPath("own.test")).is(200, "own.test").lacks("All tenants")
	must(t, h.acts.RemoveOperator(t.Context(), own, byHand(), "own-admin"))
	o.get(tenantPath("own.test")).is(401)
	// Its way in is in the tenant's log, the deployment's in its own.
	log, err := h.db.Control().ListAudit(t.Context(), listAudit(actDashboardEnterName))
	must(t, err)
	done, bad := 0, 0
	for _, e := range log {
		if e.Outcome == "done" {
			done++
		} else if strings.HasPrefix(e.Outcome, "refused") {
			bad++
		}
	}
	if done != 4 || bad != 1 {
		t.Errorf("the log has %d sign-ins and %d refusals", done, bad)
	}
}

// TestLinks: one is good once, for half an hour, and lets nobody do anything but set up a second factor.
func TestLinks(t *testing.T) {
	h := newHouse(t)
	b := h.deployment(auth.DeploymentSupport, nil)
	must(t, h.acts.DashboardReset(t.Context(), byHand(), b.ref))
	b.get(Root + "/tenants").is(401)
	link := func() string {
		t.Helper()
		code, _, err := h.acts.DashboardLink(t.Context(), byHand(), b.ref)
		must(t, err)
		return code
	}
	first, second := link(), link()
	b = &browser{h: h, http: b.http, ref: b.ref, token: b.token}
	b.get(pathEnter)
	b.post(pathEnter, "code", first).is(403, "no good any more") // the next one ended it
	b.post(pathEnter, "code", second).leads(pathSetup)
	other := h.browser()
	other.get(pathEnter)
	other.post(pathEnter, "code", second).is(403, "no good any more")
	for _, at := range []string{Root + "/", Root + "/tenants", pathOwn} {
		b.get(at).leads(pathSetup)
	}
	b.post(pathOwn + "/remove").leads(pathSetup)
	// A token without a second factor opens nothing.
	other.post(Root+"/sign-in", "token", b.token, "code", "123456").is(403, "No second factor yet")
	third := link()
	h.pass(operator.LinkLife + time.Second)
	other.post(pathEnter, "code", third).is(403, "no good any more")
	b.get(pathSetup).is(401) // what was begun by a link is over sooner
}

// TestGuessing: a token's codes cannot be tried out, nor tokens from one address.
func TestGuessing(t *testing.T) {
	h := newHouse(t)
	b := h.deployment(auth.DeploymentOwner, nil)
	thief := h.browser()
	thief.get(Root + "/sign-in")
	for range maxCodes {
		thief.post(Root+"/sign-in", "token", b.token, "code", "000000").is(403, "The code is not good")
	}
	h.pass(31 * time.Second)
	thief.post(Root+"/sign-in", "token", b.token, "code", b.code()).is(429, "Too many tries")
	h.pass(codeWindow)
	thief.post(Root+"/sign-in", "token", b.token, "code", b.code()).leads(Root + "/overview")
	stranger := h.browser()
	stranger.get(Root + "/sign-in")
	refused := 0
	for range 40 {
		if stranger.post(Root+"/sign-in", "token", "locusdep_x", "code", "000000").status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 40 guesses were refused unseen", refused)
	}
	if n := h.acts.FailedOperators(); n != maxCodes+30 {
		t.Errorf("%d failures are counted", n)
	}
}

// TestForms: only what our own pages sent is taken, under a name that is ours, and nothing of it is kept by anybody.
func TestForms(t *testing.T) {
	h := newHouse(t)
	b := h.deployment(auth.DeploymentOwner, nil)
	good := func() url.Values {
		return url.Values{web.FieldForm: {web.MaskToken(b.cookie(cookieForm))}, "hostname": {"made.test"}}
	}
	for name, change := range map[string]func(*http.Request){
		"another origin":      func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"another site":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another page":        func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("Referer", "https://evil.example/") },
		"another kind":        func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"another host's name": func(r *http.Request) { r.Host = "evil.example" },
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.http.URL+Root+"/tenants/new", strings.NewReader(good().Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", h.http.URL)
		change(r)
		if a := b.do(r); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	b.post(Root+"/tenants/new", web.FieldForm, web.MaskToken(web.NewToken()), "hostname", "made.test").is(403, "The page was too old")
	b.post(Root+"/tenants/new", "hostname", strings.Repeat("x", maxForm)).is(413, "too large")
	if _, err := h.tenants.Get(t.Context(), "made.test"); err == nil {
		t.Fatal("one of them was taken")
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.http.URL+Root+"/tenants", nil)
	must(t, err)
	r.Header.Set("Sec-Fetch-Dest", "iframe")
	b.do(r).is(403, "Not within another page")
	a := b.get(Root + "/tenants").is(200)
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'"} {
		if !strings.Contains(a.header.Get(name), want) {
			t.Errorf("%s: %s", name, a.header.Get(name))
		}
	}
	cookie := h.browser().get(Root + "/sign-in").header.Get("Set-Cookie")
	if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
		t.Error(cookie)
	}
}

// TestPasskey: one is set up, and signs in alone; what it answers counts once.
func TestPasskey(t *testing.T) {
	h := newHouse(t)
	local := strings.Replace(h.http.URL, "127.0.0.1", "localhost", 1)
	h.http.URL = local
	b := h.deployment(auth.DeploymentOwner, nil)
	options := func(a answer, name string) []byte {
		t.Helper()
		m := regexp.MustCompile(name + `="([^"]*)"`).FindStringSubmatch(a.body)
		if m == nil {
			t.Fatalf("no options: %.2000s", a.body)
		}
		return []byte(strings.NewReplacer("&#34;", `"`, "&amp;", "&").Replace(m[1]))
	}
	key := passkeytest.New(t, local)
	key.Counts = true
	made := key.Make(t, options(b.get(pathOwn), "data-passkey-new"))
	b.post(pathOwn+"/passkey", "name", "laptop", "answer", string(made)).leads(pathOwn)
	b.post(pathOwn+"/passkey", "name", "laptop", "answer", string(made)).is(403, "answered before")
	b.get(pathOwn).is(200, "laptop", "phone")
	other := h.browser()
	shown := key.Answer(t, options(other.get(Root+"/sign-in"), "data-passkey-proof"))
	b.post(Root + "/sign-out").leads(Root + "/sign-in")
	b.get(Root + "/sign-in")
	b.post(Root+"/passkey", "passkey", string(shown)).is(403, "The passkey is not good") // it was asked in another browser
	other.post(Root+"/passkey", "passkey", string(shown)).leads(Root + "/overview")
	other.post(Root+"/passkey", "passkey", string(shown)).is(403)
	// The app may go now, the passkey may not.
	page := other.get(pathOwn).is(200)
	id := regexp.MustCompile(`name="factor" value="([0-9a-f]{32})"`).FindStringSubmatch(page.body)
	if id == nil {
		t.Fatal(page.body)
	}
	other.post(pathOwn+"/remove", "factor", id[1]).leads(pathOwn)
	if strings.Contains(other.get(pathOwn).body, `name="factor"`) {
		t.Error("the last one can be removed")
	}
	stranger := passkeytest.New(t, local)
	stranger.Handle, stranger.RP = key.Handle, "localhost"
	b.post(Root+"/passkey", "passkey", string(stranger.Answer(t, options(b.get(Root+"/sign-in"), "data-passkey-proof")))).is(403, "The passkey is not good")
}

// TestSessions: there are so many and no more, one sees them, and ends others.
func TestSessions(t *testing.T) {
	h := newHouse(t)
	b := h.deployment(auth.DeploymentOwner, nil)
	first := b.http
	for range operator.MaxSessions {
		b.http = h.browser().http
		b.signsIn().leads(Root + "/overview")
	}
	last := b.http
	b.http = first
	b.get(Root + "/tenants").is(401) // the oldest ended
	b.http = last
	if n := strings.Count(b.get(pathOwn).is(200).body, `name="session"`); n != operator.MaxSessions-1 {
		t.Errorf("%d others are shown", n)
	}
	b.post(pathOwn + "/end").leads(pathOwn)
	if n := strings.Count(b.get(pathOwn).is(200).body, `name="session"`); n != 0 {
		t.Errorf("%d others are left", n)
	}
	n, err := h.acts.DashboardEnd(t.Context(), byHand(), b.ref, "", nil)
	if must(t, err); n != 1 {
		t.Errorf("%d ended", n)
	}
	b.get(pathOwn).is(401)
}

// TestSlowStrangers: forms that do not come to their end keep nobody from signing in.
func TestSlowStrangers(t *testing.T) {
	h := newHouse(t)
	b := h.deployment(auth.DeploymentOwner, nil)
	for range 3 * errands {
		conn, err := net.Dial("tcp", h.http.Listener.Addr().String())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = conn.Write([]byte("POST /admin/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ntoken="))
		must(t, err)
	}
	b.signsIn().leads(Root + "/overview")
}

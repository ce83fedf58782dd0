package signin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/act"
)

// TestSignUp opens an account on the way to an app.
func TestSignUp(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	h.set(h.a, map[string]string{"terms_of_service_url": "https://a.example/terms"})
	p := h.person()
	p.open(h.push(h.a, devApp("atproto"), "prompt", "create")).says(200, "Terms of service")
	f, submit := p.page.button("Create the account")
	_, check := p.page.button("Check whether it is free")
	for handle, want := range map[string]string{
		"alice": "This handle is taken", "al": "must have 3 to 18 characters", "-carol": "letters, digits and hyphens only", "admin": "cannot be had",
		"carol": "@carol.a.test is free", "carol.a.test": "@carol.a.test is free", "carol.example.com": "letters, digits and hyphens only",
	} {
		p.submit(f, check, "handle", handle).says(200, want)
	}
	p.submit(f, submit, "handle", "", "email", "", "password", "").says(400, "Fill this in. ")
	p.press("Create the account", "handle", "carol", "email", "alice@example.com", "password", "short").says(400, "must have 8 to 256 characters")
	page := p.press("Create the account", "handle", "carol", "email", "alice@example.com", "password", "long enough").says(400, "already. Sign in")
	if !strings.Contains(page.body, `value="carol"`) || strings.Contains(page.body, "long enough") {
		t.Error("what was entered is lost, or too much is kept")
	}
	p.press("Create the account", "handle", "alice", "email", "carol@example.com", "password", "long enough").says(400, "This handle is taken")
	p.press("Create the account", "handle", "carol", "email", "carol@example.com", "password", "long enough").says(200, "@carol.a.test")
	if got := p.press("Allow").away(devBack); got.Get("code") == "" {
		t.Error(got)
	}
}

// TestSignUpPolicies: invite codes, approval, and none at all.
func TestSignUpPolicies(t *testing.T) {
	h := newHouse(t)
	sign := h.a.PublicURL + "/account/sign-in?step=sign-up"
	fill := func(name string, more ...string) []string {
		return append([]string{"handle", name, "email", name + "@example.com", "password", "long enough"}, more...)
	}
	h.set(h.a, map[string]string{"signup": "invite"})
	code, err := h.acts.Invite(t.Context(), h.a, act.Operator{}, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	p := h.person()
	p.open(sign)
	p.press("Create the account", fill("carol")...).says(400, "Fill this in.")
	p.press("Create the account", fill("carol", "invite", "wrong-code")...).says(400, "This invite code is not good")
	p.press("Create the account", fill("carol", "invite", code)...).goesTo("/account?account=" + url.QueryEscape(h.didOf(h.a, "carol")))
	p = h.person()
	p.open(sign)
	p.press("Create the account", fill("dave", "invite", code)...).says(400, "This invite code is not good")

	h.set(h.a, map[string]string{"signup": "approval"})
	p = h.person()
	p.open(sign).says(200, "An operator looks at each new account")
	p.press("Create the account", fill("erin")...).says(200, "Your account waits for approval")
	p = h.person()
	p.open(h.a.PublicURL + "/account/sign-in")
	p.press("Sign in", "identifier", "erin.a.test", "password", "long enough").says(200, "Your account waits for approval")
	if len(p.cookies["a.test"]["__Host-device-session"]) > 0 {
		t.Error("somebody is signed in")
	}

	h.set(h.a, map[string]string{"signup": "closed"})
	p = h.person()
	p.open(sign).says(200, "Handle or e-mail address")
	if p.page.links["No account yet? Create one"] != "" {
		t.Error(p.page)
	}
	p.open(h.push(h.a, devApp("atproto"), "prompt", "create")).says(200, "Handle or e-mail address")
}

// TestCaptcha: the service is asked with what its box left, and has the last word. This is not the service, but what its
// documentation says of it.
func TestCaptcha(t *testing.T) {
	h := newHouse(t)
	if err := h.acts.SetCaptcha(t.Context(), h.a, act.Operator{}, "hcaptcha", "site", "of the operator"); err != nil {
		t.Fatal(err)
	}
	var asked url.Values
	said := map[string]any{"success": true, "hostname": "a.test"}
	status := http.StatusOK
	h.captcha = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.String() != "https://api.hcaptcha.com/siteverify" || r.Method != "POST" {
			return nil, errors.New(r.URL.String())
		}
		b, _ := io.ReadAll(r.Body)
		asked, _ = url.ParseQuery(string(b))
		answer, _ := json.Marshal(said)
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(answer)))}, nil
	})
	p := h.person()
	page := p.open(h.a.PublicURL + "/account/sign-in?step=sign-up")
	csp := page.header.Get("Content-Security-Policy")
	if !strings.Contains(page.body, `data-sitekey="site"`) || !strings.Contains(page.body, "https://js.hcaptcha.com/1/api.js") || !strings.Contains(csp, "frame-src https://hcaptcha.com") || strings.Contains(page.body, "of the operator") {
		t.Error(csp, page.body)
	}
	f, b := page.button("Create the account")
	for k, v := range map[string]string{"handle": "carol", "email": "carol@example.com", "password": "long enough"} {
		f.values.Set(k, v)
	}
	p.submit(f, b).says(400, "The check did not succeed")
	if asked != nil {
		t.Error("the service was asked for nothing", asked)
	}
	f.values.Set("h-captcha-response", "of the box")
	status = http.StatusBadGateway
	p.submit(f, b).says(400, "does not answer")
	status = http.StatusOK
	said["success"] = false
	p.submit(f, b).says(400, "The check did not succeed")
	said["success"], said["hostname"] = true, "evil.example"
	p.submit(f, b).says(400, "The check did not succeed")
	said["hostname"] = "a.test"
	p.submit(f, b).goesTo("/account?account=" + url.QueryEscape(h.didOf(h.a, "carol")))
	if asked.Get("secret") != "of the operator" || asked.Get("response") != "of the box" || asked.Get("sitekey") != "site" {
		t.Error(asked)
	}
	if err := h.acts.SetCaptcha(t.Context(), h.a, act.Operator{}, "none", "", ""); err != nil {
		t.Fatal(err)
	}
	if page := p.open(h.a.PublicURL + "/account/sign-in?step=sign-up"); strings.Contains(page.body, "hcaptcha") {
		t.Error(page.body)
	}
}

// TestLiveHandle: a script is told while somebody types.
func TestLiveHandle(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	for value, want := range map[string]liveAnswer{
		"alice": {false, "This handle is taken. Choose another one."},
		"Carol": {true, "@carol.a.test is free."},
		"x":     {false, "The part in front of the ending must have 3 to 18 characters."},
		"":      {},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", h.http.URL+"/account/sign-up/handle?"+url.Values{"value": {value}, "domain": {".a.test"}}.Encode(), nil)
		r.Host = "a.test"
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		var got liveAnswer
		err = json.NewDecoder(res.Body).Decode(&got)
		_ = res.Body.Close()
		if err != nil || got != want || res.StatusCode != 200 {
			t.Errorf("%q: %d %+v %v", value, res.StatusCode, got, err)
		}
	}
}

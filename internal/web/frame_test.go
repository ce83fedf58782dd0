package web

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

const origin = "https://a.test"

// house is a server with nothing but the frame and a few pages, without a database: nobody is signed in.
type house struct {
	t    testing.TB
	http *httptest.Server
	got  []Form
}

func someTenant() *tenant.Tenant {
	return &tenant.Tenant{ID: 1, Hostname: "a.test", PublicURL: origin, State: tenant.Active, Settings: tenant.Defaults(), Revision: 1}
}

func newHouse(t testing.TB, of *tenant.Tenant) *house {
	h := &house{t: t}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	f := New(nil, time.Now, log)
	pages := specimenPages()
	server := xrpc.New(xrpc.Config{
		Log: log, Now: time.Now,
		ByHost: func(context.Context, string) (tenant.Match, error) {
			return tenant.Match{Tenant: of, Kind: tenant.Canonical}, nil
		},
	}, func(g *xrpc.Group) {
		f.Register(g)
		data := map[string]any{"At": time.Date(2026, 11, 28, 14, 5, 0, 0, time.UTC), "Icons": slices.Sorted(maps.Keys(strokes))}
		f.Get(g, "/specimen", func(v *Visit) error { return v.Show(200, pages["narrow"], data) })
		f.Get(g, "/wide", func(v *Visit) error { return v.Show(200, pages["wide"], data) })
		PostScript(f, g, "/script", func(v *Visit, in struct{ Name string }) (Answer, error) {
			if in.Name == "" {
				return Answer{}, NotFound
			}
			return Answer{Body: map[string]string{"name": in.Name}}, nil
		})
		f.GetScript(g, "/live", func(v *Visit) (Answer, error) {
			return Answer{Body: map[string]any{"ok": true, "text": v.R.URL.Query().Get("value")}}, nil
		})
		f.Get(g, "/missing", func(*Visit) error { return NotFound })
		f.Get(g, "/broken", func(*Visit) error { return io.ErrUnexpectedEOF })
		f.Post(g, "/specimen", func(v *Visit, form Form) error {
			h.got = append(h.got, form)
			v.Note(Success, "ago.days", "n", "3")
			return v.Redirect(form.Get("to"))
		})
	})
	h.http = httptest.NewServer(server)
	t.Cleanup(h.http.Close)
	return h
}

func (h *house) do(method, path string, body url.Values, headers ...string) *http.Response {
	h.t.Helper()
	var sent io.Reader
	if body != nil {
		sent = strings.NewReader(body.Encode())
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.http.URL+path, sent)
	if err != nil {
		h.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func text(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var tokenForm = regexp.MustCompile(`name="form-token" value="([^"]+)"`)

// open looks at the page with the form, and gives the cookie and the token.
func (h *house) open() (cookie, token string) {
	h.t.Helper()
	res := h.do("GET", "/specimen", nil)
	body := text(h.t, res)
	m := tokenForm.FindStringSubmatch(body)
	if res.StatusCode != 200 || m == nil || len(res.Cookies()) != 1 {
		h.t.Fatal(res.StatusCode, res.Header, body)
	}
	c := res.Cookies()[0]
	return c.Name + "=" + c.Value, m[1]
}

// A form counts when it was sent from a page of ours, however old the browser is.
func TestForms(t *testing.T) {
	h := newHouse(t, someTenant())
	cookie, token := h.open()
	_, otherToken := h.open()
	good := url.Values{"form-token": {token}, "to": {"/wide"}}
	for name, c := range map[string]struct {
		form    url.Values
		headers []string
		status  int
	}{
		"new browser":              {good, []string{"Cookie: " + cookie, "Origin: " + origin, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate"}, 303},
		"no Sec-Fetch":             {good, []string{"Cookie: " + cookie, "Origin: " + origin}, 303},
		"Referer only":             {good, []string{"Cookie: " + cookie, "Referer: " + origin + "/specimen"}, 303},
		"nothing but the token":    {good, []string{"Cookie: " + cookie}, 303},
		"reloaded":                 {good, []string{"Cookie: " + cookie, "Sec-Fetch-Site: none"}, 303},
		"null origin, same site":   {good, []string{"Cookie: " + cookie, "Origin: null", "Sec-Fetch-Site: same-origin"}, 303},
		"null origin":              {good, []string{"Cookie: " + cookie, "Origin: null"}, 403},
		"another site":             {good, []string{"Cookie: " + cookie, "Origin: https://evil.test", "Sec-Fetch-Site: cross-site"}, 403},
		"a sibling":                {good, []string{"Cookie: " + cookie, "Sec-Fetch-Site: same-site"}, 403},
		"another origin":           {good, []string{"Cookie: " + cookie, "Origin: https://evil.test"}, 403},
		"the origin in plain text": {good, []string{"Cookie: " + cookie, "Origin: http://a.test"}, 403},
		"another referer":          {good, []string{"Cookie: " + cookie, "Referer: https://a.test.evil.test/"}, 403},
		"no cookie":                {good, nil, 403},
		"no token":                 {url.Values{}, []string{"Cookie: " + cookie}, 403},
		"the cookie as token":      {url.Values{"form-token": {strings.SplitN(cookie, "=", 2)[1]}}, []string{"Cookie: " + cookie}, 403},
		"another browser's token":  {url.Values{"form-token": {otherToken}}, []string{"Cookie: " + cookie}, 403},
		"too long":                 {url.Values{"form-token": {token}, "x": {strings.Repeat("y", maxForm)}}, []string{"Cookie: " + cookie}, 413},
		"not a form":               {good, []string{"Cookie: " + cookie, "Content-Type: text/plain"}, 400},
	} {
		before := len(h.got)
		res := h.do("POST", "/specimen", c.form, c.headers...)
		body := text(t, res)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		if taken := len(h.got) > before; taken != (c.status == 303) {
			t.Errorf("%s: taken %v", name, taken)
		}
		if c.status != 303 && (!strings.Contains(body, "<h1>") || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html")) {
			t.Errorf("%s: no page: %s", name, body)
		}
	}
}

// The token in a page is another one each time, and all are good.
func TestFormTokenIsMasked(t *testing.T) {
	h := newHouse(t, someTenant())
	cookie, first := h.open()
	res := h.do("GET", "/specimen", nil, "Cookie: "+cookie)
	second := tokenForm.FindStringSubmatch(text(t, res))[1]
	if first == second || len(res.Cookies()) != 0 {
		t.Fatal(first, second, res.Cookies())
	}
	for _, token := range []string{first, second} {
		if res := h.do("POST", "/specimen", url.Values{"form-token": {token}}, "Cookie: "+cookie); res.StatusCode != 303 {
			t.Error(res.StatusCode)
		}
	}
}

// After a form the browser goes to a page of ours only, and the note comes along once.
func TestRedirects(t *testing.T) {
	h := newHouse(t, someTenant())
	cookie, token := h.open()
	for to, want := range map[string]string{"/wide": "/wide", "//evil.test": "/", "https://evil.test/": "/", "/\\evil.test": "/", "": "/", "/a\r\nX: y": "/"} {
		res := h.do("POST", "/specimen", url.Values{"form-token": {token}, "to": {to}}, "Cookie: "+cookie)
		if res.StatusCode != 303 || res.Header.Get("Location") != want {
			t.Errorf("%q: %d %q", to, res.StatusCode, res.Header.Get("Location"))
		}
		note := res.Cookies()
		if len(note) != 1 {
			t.Fatal(note)
		}
		page := h.do("GET", "/wide", nil, "Cookie: "+note[0].Name+"="+note[0].Value)
		if body := text(t, page); !strings.Contains(body, "3 days ago") {
			t.Error("the note is lost")
		}
		if c := page.Cookies(); !slices.ContainsFunc(c, func(c *http.Cookie) bool { return c.Name == note[0].Name && c.MaxAge < 0 }) {
			t.Error("the note stays", c)
		}
	}
}

func TestHeaders(t *testing.T) {
	h := newHouse(t, someTenant())
	res := h.do("GET", "/wide", nil, "Accept-Encoding: gzip", "Origin: https://evil.test")
	policy := res.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "img-src 'self';", "upgrade-insecure-requests", "style-src 'self' 'sha256-"} {
		if !strings.Contains(policy+";", part) {
			t.Errorf("policy lacks %s: %s", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Error(policy)
	}
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "credentialless", "Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security": "max-age=63072000", "X-Robots-Tag": "noindex", "Access-Control-Allow-Origin": "", "Content-Encoding": "", "No-Gzip-Compression": "",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, c := range append(res.Cookies(), h.do("GET", "/specimen", nil).Cookies()...) {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("cookie %+v", c)
		}
	}
	// A development server without HTTPS.
	plain := someTenant()
	plain.PublicURL = "http://a.test"
	res = newHouse(t, plain).do("GET", "/specimen", nil)
	if p := res.Header.Get("Content-Security-Policy"); strings.Contains(p, "upgrade") || res.Header.Get("Strict-Transport-Security") != "" {
		t.Error(p)
	}
	for _, c := range res.Cookies() {
		if c.Secure || strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("cookie %+v", c)
		}
	}
}

// Other pages can neither frame ours nor read them.
func TestNotFramed(t *testing.T) {
	h := newHouse(t, someTenant())
	for _, headers := range [][]string{{"Sec-Fetch-Dest: iframe", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin"}, {"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"}, {"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"}} {
		if res := h.do("GET", "/wide", nil, headers...); res.StatusCode != 403 {
			t.Error(headers, res.StatusCode)
		}
	}
	for _, headers := range [][]string{nil, {"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, {"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"}} {
		if res := h.do("GET", "/wide", nil, headers...); res.StatusCode != 200 {
			t.Error(headers, res.StatusCode)
		}
	}
}

// Scripts of our pages send JSON with the page's token, and are answered in JSON.
func TestScripts(t *testing.T) {
	h := newHouse(t, someTenant())
	cookie, token := h.open()
	send := func(body string, headers ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", h.http.URL+"/script", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range append([]string{"Content-Type: application/json", "Cookie: " + cookie, "X-Form-Token: " + token, "Origin: " + origin}, headers...) {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode, text(t, res)
	}
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		want       string
	}{
		{"good", `{"name":"x"}`, nil, 200, `{"name":"x"}`},
		{"refused", `{}`, nil, 404, "mistyped"},
		{"no token", `{"name":"x"}`, []string{"X-Form-Token: "}, 403, "another site"},
		{"another origin", `{"name":"x"}`, []string{"Origin: https://evil.test"}, 403, "another site"},
		{"a form", `name=x`, []string{"Content-Type: application/x-www-form-urlencoded"}, 400, "not what the page sends"},
		{"no JSON", `{`, nil, 400, "not what the page sends"},
		{"too long", `{"name":"` + strings.Repeat("x", maxForm) + `"}`, nil, 413, "longer"},
	} {
		if status, body := send(c.body, c.headers...); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	if res := h.do("GET", "/live?value=x", nil, "Sec-Fetch-Site: same-origin"); res.StatusCode != 200 || text(t, res) != `{"ok":true,"text":"x"}` {
		t.Error(res.StatusCode)
	}
	if res := h.do("GET", "/live?value=x", nil, "Sec-Fetch-Site: cross-site"); res.StatusCode != 403 {
		t.Error(res.StatusCode)
	}
}

// Errors are pages, and say nothing that is not meant to be said.
func TestProblems(t *testing.T) {
	h := newHouse(t, someTenant())
	for path, want := range map[string]int{"/missing": 404, "/broken": 500, "/account/no-such-page": 404} {
		res := h.do("GET", path, nil)
		body := text(t, res)
		if res.StatusCode != want || !strings.Contains(body, "<h1>") || strings.Contains(body, "EOF") || strings.Contains(body, "problem.") {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

// The files of pages are kept for good, under names that change with what is in them.
func TestAssets(t *testing.T) {
	h := newHouse(t, someTenant())
	files, err := os.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		res := h.do("GET", AssetURL(f.Name()), nil)
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || res.Header.Get("Content-Type") == "" {
			t.Error(f.Name(), res.StatusCode, res.Header)
		}
	}
	if res := h.do("GET", "/~assets/page.000000000000.css", nil); res.StatusCode != 404 {
		t.Error(res.StatusCode)
	}
}

// The language is what was chosen, what the app asks for, what the browser asks for, what the tenant speaks.
func TestLanguages(t *testing.T) {
	of := someTenant()
	of.Settings.MailLanguage = "fr"
	h := newHouse(t, of)
	lang := func(path string, headers ...string) string {
		return h.do("GET", path, nil, headers...).Header.Get("Content-Language")
	}
	for _, c := range []struct{ got, want string }{
		{lang("/wide"), "fr"},
		{lang("/wide", "Accept-Language: de-AT, en;q=0.5"), "de"},
		{lang("/wide", "Accept-Language: xx, ja;q=0.2, nl;q=0.7"), "nl"},
		{lang("/wide", "Accept-Language: pt"), "pt-BR"},
		{lang("/wide", "Accept-Language: de;q=0"), "fr"},
		{lang("/wide?lang=ja", "Accept-Language: de"), "ja"},
		{lang("/wide?lang=xx", "Accept-Language: de"), "de"},
		{lang("/wide", "Accept-Language: de", "Cookie: __Host-lang=es"), "es"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

// A tenant that is switched off has one page, which says so; nothing behind it is reached.
func TestSuspended(t *testing.T) {
	of := someTenant()
	of.State = tenant.Suspended
	h := newHouse(t, of)
	for _, path := range []string{"/specimen", "/missing"} {
		res := h.do("GET", path, nil)
		if body := text(t, res); res.StatusCode != 503 || res.Header.Get("Retry-After") != "3600" || !strings.Contains(body, "<h1") {
			t.Error(path, res.StatusCode, res.Header, body)
		}
	}
}

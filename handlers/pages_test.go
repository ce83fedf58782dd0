package handlers

import (
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/tenant"
)

// The page at / by the tenant's settings, for browsers and for terminals.
func TestPagesHome(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	page := h.raw("GET", hostA, "/", nil, "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
	plain := h.raw("GET", hostA, "/", nil, "Accept: */*")
	if plain.status != 200 || !strings.HasPrefix(plain.header.Get("Content-Type"), "text/plain") || strings.Contains(string(plain.body), "<") || !strings.Contains(string(plain.body), "/docs") {
		t.Errorf("terminal: %d %s\n%s", plain.status, plain.header, plain.body)
	}

	if page.status != 200 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") || !strings.Contains(strings.Join(page.header.Values("Vary"), ","), "Accept") {
		t.Errorf("browser: %d %v", page.status, page.header)
	}
	if csp := page.header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "img-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	for mode, says := range map[tenant.Signup]string{
		tenant.SignupOpen: "Anybody may open", tenant.SignupInvite: "invite code", tenant.SignupApproval: "looks at each request", tenant.SignupClosed: "no new accounts",
	} {
		a := *h.a
		a.Settings = tenant.Settings{
			DisplayName: `Ann's <b>house</b>`, Signup: mode, LogoURL: "https://cdn.example/logo.png", BrandColor: "#102030", BrandTextColor: "#fefefe",
			TermsOfServiceURL: "https://ann.example/terms", SupportURL: "https://ann.example/help", ContactEmail: "ann@example.com",
		}
		home := homeOf(&a)
		var b strings.Builder
		if err := homeTemplate.Execute(&b, home); err != nil {
			t.Fatal(err)
		}
		text := string(home.text())
		for _, want := range []string{says, "https://ann.example/terms", "https://ann.example/help", "mailto:ann@example.com", "/docs"} {
			if !strings.Contains(b.String(), want) || !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s\n%s", mode, want, b.String(), text)
			}
		}
		for _, want := range []string{"#102030", "#fefefe", "https://cdn.example/logo.png", "Ann&#39;s &lt;b&gt;house"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", mode, want, b.String())
			}
		}
	}
}

// The documentation comes from this host only, and packed or not is the same.
func TestPagesDocs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/docs", "/docs/start.js", "/docs/redoc.standalone.js"} {
		r := h.raw("GET", hostA, path, nil, "Accept-Encoding: identity")
		if r.status != 200 || len(r.body) == 0 {
			t.Fatalf("%s: %d", path, r.status)
		}
		csp := r.header.Get("Content-Security-Policy")
		if strings.Contains(csp, "http") || strings.Contains(csp, "script-src 'unsafe") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		packed := h.raw("GET", hostA, path, nil, "Accept-Encoding: gzip")
		z, err := gzip.NewReader(strings.NewReader(string(packed.body)))
		if err != nil || packed.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %v %v", path, err, packed.header)
		}
		if b, err := io.ReadAll(z); err != nil || string(b) != string(r.body) {
			t.Errorf("%s: packed is something else: %v", path, err)
		}
	}
	if r := h.raw("GET", hostA, "/docs/redoc.LICENSE.txt", nil); r.status != 404 {
		t.Errorf("another file: %d", r.status)
	}
}

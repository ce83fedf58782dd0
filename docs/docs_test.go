package docs

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	href   = regexp.MustCompile(`<a [^>]*?href="([^"]*)"`)
	anchor = regexp.MustCompile(` id="([^"]*)"`)
	source = regexp.MustCompile(`\]\((\.\./[^)#]*)`)
)

// TestLinks walks the handbook as a browser does, from its contents: every page is reached, every link leads to a page and
// to a place on it, and nothing of a page is loaded from elsewhere.
func TestLinks(t *testing.T) {
	h := Handler()
	get := func(at string) (string, http.Header) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, at, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", at, w.Code, w.Body)
		}
		return w.Body.String(), w.Header()
	}
	seen := map[string]map[string]bool{}
	wanted := map[string]string{} // page#anchor, and from where
	links := 0
	for left := []string{"/docs/"}; len(left) > 0; left = left[1:] {
		at := left[0]
		if seen[at] != nil {
			continue
		}
		body, header := get(at)
		if csp := header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || strings.Contains(body, "<script") || strings.Contains(body, "<img") {
			t.Errorf("%s loads more than its style: %s", at, csp)
		}
		seen[at] = map[string]bool{}
		for _, m := range anchor.FindAllStringSubmatch(body, -1) {
			seen[at][m[1]] = true
		}
		base, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range href.FindAllStringSubmatch(body, -1) {
			to, err := base.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", at, err)
				continue
			}
			links++
			if to.IsAbs() {
				if to.Scheme != "https" || to.Host == "" {
					t.Errorf("%s leads to %s", at, m[1])
				}
				continue
			}
			left = append(left, to.Path)
			if to.Fragment != "" {
				wanted[to.Path+"#"+to.Fragment] = at
			}
		}
	}
	for place, from := range wanted {
		if page, name, _ := strings.Cut(place, "#"); !seen[page][name] {
			t.Errorf("%s leads to %s: there is no such heading", from, place)
		}
	}
	names, err := fs.Glob(pages, "*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name != contents && seen["/docs/"+name] == nil {
			t.Errorf("nothing leads to %s", name)
		}
		text, err := pages.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# ") {
			t.Errorf("%s does not begin with its title", name)
		}
		for _, m := range source.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(path.Join(".", m[1])); err != nil {
				t.Errorf("%s leads to a file that is not there: %v", name, err)
			}
		}
	}
	if links < 300 {
		t.Errorf("only %d links", links)
	}
	for _, gone := range []string{"/docs/nothing.md", "/docs/docs.go", "/docs/..%2fgo.mod"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, gone, nil))
		if w.Code == http.StatusOK {
			t.Errorf("%s is shown", gone)
		}
	}
}

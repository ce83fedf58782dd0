package account_test

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser is somebody's browser.
type browser struct {
	*house
	host   string
	client *http.Client
	jar    *cookiejar.Jar
}

func (h *house) browser(host string) *browser {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	at := h.http.Listener.Addr().String()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at)
	}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &browser{h, host, &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, jar}
}

func (b *browser) origin() string { return "http://" + b.host + ":2583" }

// answer is what a request got.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

func (b *browser) do(r *http.Request) *answer {
	b.t.Helper()
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &answer{b.t, r.Method + " " + r.URL.Path, res.StatusCode, res.Header, body}
}

func (b *browser) get(path string) *answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.origin()+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept-Language", "en")
	return b.do(r)
}

var formToken = regexp.MustCompile(`name="form-token" value="([^"]+)"`)

// submit sends a form of a page, with the token that the page has: pairs of names and values.
func (b *browser) submit(path string, pairs ...string) *answer {
	b.t.Helper()
	page := b.get(path)
	m := formToken.FindSubmatch(page.body)
	if m == nil {
		b.t.Fatalf("%s has no form: %d %s", path, page.status, page.text())
	}
	return b.post(path, append([]string{"form-token", string(m[1])}, pairs...)...)
}

func (b *browser) post(path string, pairs ...string) *answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.origin()+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.origin())
	r.Header.Set("Accept-Language", "en")
	return b.do(r)
}

// is fails the test unless the answer has a status and says all of that.
func (a *answer) is(status int, says ...string) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d, want %d: %s", a.what, a.status, status, a.text())
	}
	text := a.text()
	for _, want := range says {
		if !strings.Contains(text, want) {
			a.t.Errorf("%s does not say %q: %s", a.what, want, text)
		}
	}
	return a
}

// lacks fails the test if the answer says one of these.
func (a *answer) lacks(says ...string) *answer {
	a.t.Helper()
	for _, not := range says {
		if strings.Contains(a.text(), not) {
			a.t.Errorf("%s says %q", a.what, not)
		}
	}
	return a
}

// goes fails the test unless the answer sends the browser to a path.
func (a *answer) goes(to string) *answer {
	a.t.Helper()
	if at := a.header.Get("Location"); a.status != http.StatusSeeOther || at != to {
		a.t.Fatalf("%s: %d to %q, want %q: %s", a.what, a.status, at, to, a.text())
	}
	return a
}

func (a *answer) text() string { return html.UnescapeString(string(a.body)) }

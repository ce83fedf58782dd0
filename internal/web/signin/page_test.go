package signin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// page is what was answered. Location is set when the browser was sent to somebody else.
type page struct {
	t        *testing.T
	url      *url.URL
	status   int
	header   http.Header
	body     string
	words    string
	forms    []*form
	links    map[string]string
	location *url.URL
}

type form struct {
	page    *page
	action  string
	method  string
	values  url.Values
	kinds   map[string]string
	buttons []button
}

type button struct{ name, value, words string }

func (pg *page) button(words string) (*form, button) {
	pg.t.Helper()
	for _, f := range pg.forms {
		for _, b := range f.buttons {
			if b.words == words || b.value == words && words != "" {
				return f, b
			}
		}
	}
	pg.t.Fatalf("no button %q in %v", words, pg)
	return nil, button{}
}

func (pg *page) String() string {
	if pg.location != nil {
		return "away to " + pg.location.String()
	}
	return pg.url.String() + ": " + pg.words
}

// says checks that a page has words.
func (pg *page) says(status int, words string) *page {
	pg.t.Helper()
	if pg.location != nil || pg.status != status || !strings.Contains(pg.words, words) {
		pg.t.Fatalf("want %d %q: %d %v", status, words, pg.status, pg)
	}
	return pg
}

// away checks that the browser was sent back to the app, and gives what the app was told.
func (pg *page) away(to string) url.Values {
	pg.t.Helper()
	if pg.location == nil {
		pg.t.Fatalf("still here: %d %v", pg.status, pg)
	}
	q := pg.location.Query()
	bare := *pg.location
	bare.RawQuery = ""
	if bare.String() != to {
		pg.t.Fatalf("away to %v, not %s", pg.location, to)
	}
	return q
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func wordsOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode && c.Parent.Data != "script" && c.Parent.Data != "style" {
			b.WriteString(c.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func parsePage(t *testing.T, u *url.URL, res *http.Response, text string) *page {
	t.Helper()
	pg := &page{t: t, url: u, status: res.StatusCode, header: res.Header, body: text, links: map[string]string{}}
	root, err := html.ParseWithOptions(strings.NewReader(text), html.ParseOptionEnableScripting(false))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "main":
			pg.words = wordsOf(n)
		case "a":
			if href, ok := attribute(n, "href"); ok {
				if to, err := u.Parse(href); err == nil {
					pg.links[wordsOf(n)] = to.String()
				}
			}
		case "form":
			pg.forms = append(pg.forms, parseForm(pg, n))
		}
	}
	return pg
}

func parseForm(pg *page, n *html.Node) *form {
	action, _ := attribute(n, "action")
	to, _ := pg.url.Parse(action)
	method, _ := attribute(n, "method")
	f := &form{page: pg, action: to.String(), method: strings.ToUpper(method), values: url.Values{}, kinds: map[string]string{}}
	for c := range n.Descendants() {
		name, _ := attribute(c, "name")
		value, _ := attribute(c, "value")
		kind, _ := attribute(c, "type")
		_, off := attribute(c, "disabled")
		switch {
		case off:
		case c.Data == "button" && kind != "button":
			words, ok := attribute(c, "aria-label")
			if !ok {
				words = wordsOf(c)
			}
			f.buttons = append(f.buttons, button{name, value, words})
		case c.Data == "select":
			f.kinds[name] = "select"
			f.values.Set(name, "")
		case c.Data == "input":
			f.kinds[name] = kind
			if _, on := attribute(c, "checked"); kind != "checkbox" || on {
				f.values.Add(name, value)
			}
		}
	}
	return f
}

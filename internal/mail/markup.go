package mail

import (
	"html"
	htmltemplate "html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"

	nethtml "golang.org/x/net/html"
)

// Moderation tools hand over messages in HTML, which they made from Markdown. Of it only what a letter needs is kept,
// written anew: nothing loads or runs, and everything that is opened is closed before the tenant's footer.

var markupForm = regexp.MustCompile(`(?i)</?(p|br|b|strong|i|em|u|s|a|ul|ol|li|blockquote|code|pre|h[1-6]|hr|div|span|html|body)(\s[^<>]*)?/?>`)

var emptyLines = regexp.MustCompile(`[ \t]*\n[ \t]*(\n[ \t]*)+`)

// isMarkup says whether a text means to be HTML. A stray < does not make it that.
func isMarkup(text string) bool { return markupForm.MatchString(text) }

var (
	letterTags = map[string]bool{
		"p": true, "b": true, "strong": true, "i": true, "em": true, "u": true, "s": true, "a": true, "ul": true, "ol": true, "li": true,
		"blockquote": true, "code": true, "pre": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true,
	}
	blockTags = map[string]bool{
		"p": true, "ul": true, "ol": true, "blockquote": true, "pre": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "div": true, "tr": true,
	}
	// silentTags hold nothing that anybody is to read.
	silentTags = map[string]bool{
		"script": true, "style": true, "head": true, "title": true, "template": true, "svg": true, "math": true, "object": true, "iframe": true,
		"noembed": true, "noframes": true, "noscript": true, "xmp": true, "textarea": true, "select": true,
	}
)

const maxMarkupDepth = 50

// letter is what markup becomes: HTML that is safe to stand in a page, and the same as plain text.
type letter struct {
	html, text strings.Builder
	open       []string
	hrefs      []string // of the open links
	silent     string   // the element whose content is passed over
	depth      int      // of that name
}

// fromMarkup reads a message in HTML.
func fromMarkup(source string) (htmltemplate.HTML, string) {
	var l letter
	z := nethtml.NewTokenizer(strings.NewReader(source))
	for {
		kind := z.Next()
		if kind == nethtml.ErrorToken { // the end
			break
		}
		t := z.Token()
		switch {
		case l.silent != "":
			switch {
			case t.Data != l.silent:
			case kind == nethtml.StartTagToken:
				l.depth++
			case kind == nethtml.EndTagToken:
				if l.depth--; l.depth == 0 {
					l.silent = ""
				}
			}
		case kind == nethtml.TextToken:
			l.html.WriteString(html.EscapeString(t.Data))
			l.text.WriteString(t.Data)
		case kind == nethtml.StartTagToken || kind == nethtml.SelfClosingTagToken:
			l.begin(t, kind == nethtml.SelfClosingTagToken)
		case kind == nethtml.EndTagToken:
			l.end(t.Data)
		}
	}
	for len(l.open) > 0 {
		l.end(l.open[len(l.open)-1])
	}
	// Whatever stood between blocks: no more than one empty line.
	text := emptyLines.ReplaceAllString(l.text.String(), "\n\n")
	return htmltemplate.HTML(l.html.String()), strings.TrimSpace(text)
}

func (l *letter) begin(t nethtml.Token, closed bool) {
	switch {
	case silentTags[t.Data]:
		if !closed {
			l.silent, l.depth = t.Data, 1
		}
		return
	case t.Data == "br" || t.Data == "hr":
		l.html.WriteString("<" + t.Data + ">")
		l.text.WriteString(map[string]string{"br": "\n", "hr": "\n\n----\n\n"}[t.Data])
		return
	}
	if blockTags[t.Data] {
		l.text.WriteString("\n\n")
	}
	if !letterTags[t.Data] || closed || len(l.open) >= maxMarkupDepth {
		return
	}
	switch t.Data {
	case "li":
		l.text.WriteString("\n- ")
		l.html.WriteString("<li>")
	case "a":
		href := ""
		for _, a := range t.Attr {
			if a.Key == "href" {
				href = safeLink(a.Val)
			}
		}
		if href == "" {
			return // its text stays
		}
		l.hrefs = append(l.hrefs, href)
		l.html.WriteString(`<a href="` + html.EscapeString(href) + `" rel="noopener noreferrer">`)
	default:
		l.html.WriteString("<" + t.Data + ">")
	}
	l.open = append(l.open, t.Data)
}

// end closes an element and all that is still open in it. What was not opened is not closed.
func (l *letter) end(name string) {
	if !slices.Contains(l.open, name) {
		if blockTags[name] {
			l.text.WriteString("\n\n")
		}
		return
	}
	for {
		last := l.open[len(l.open)-1]
		l.open = l.open[:len(l.open)-1]
		l.html.WriteString("</" + last + ">")
		if last == "a" {
			l.text.WriteString(" <" + l.hrefs[len(l.hrefs)-1] + ">")
			l.hrefs = l.hrefs[:len(l.hrefs)-1]
		}
		if blockTags[last] {
			l.text.WriteString("\n\n")
		}
		if last == name {
			return
		}
	}
}

// safeLink is a link to the web or to an address, "" for anything else.
func safeLink(href string) string {
	u, err := url.Parse(strings.TrimSpace(href))
	if err != nil || len(href) > 2000 {
		return ""
	}
	switch u.Scheme {
	case "https", "http":
		if u.Host != "" {
			return u.String()
		}
	case "mailto":
		return u.String()
	}
	return ""
}

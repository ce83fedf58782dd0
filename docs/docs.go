// Package docs is the handbook: its pages, and the handler that shows them. It knows nothing of the program that they are
// about, and a process without its database can show them.
package docs

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

//go:embed *.md
var pages embed.FS

//go:embed page.html
var frame string

//go:embed page.css
var style string

// contents is the page that lists the others in the order in which they are needed.
const contents = "README.md"

// listed are the lines of the contents that name a page.
var listed = regexp.MustCompile(`\| \[([a-z-]+\.md)\]`)

// Handler shows the handbook under /docs/. A page has the name of its file, so that links between pages are right in the
// source and here.
func Handler() http.Handler {
	b := &book{
		page: template.Must(template.New("page").Parse(frame)),
		markdown: goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(
			parser.WithAutoHeadingID(), parser.WithASTTransformers(util.Prioritized(outside{}, 100)))),
	}
	sum := sha256.Sum256([]byte(style))
	b.policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	first, _ := pages.ReadFile(contents) // it is embedded
	b.order = []string{contents}
	for _, m := range listed.FindAllSubmatch(first, -1) {
		b.order = append(b.order, string(m[1]))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /docs/{$}", func(w http.ResponseWriter, r *http.Request) { b.show(w, contents) })
	mux.HandleFunc("GET /docs/{page}", func(w http.ResponseWriter, r *http.Request) { b.show(w, r.PathValue("page")) })
	return mux
}

// book is what all pages share.
type book struct {
	page     *template.Template
	markdown goldmark.Markdown
	policy   string
	order    []string
}

// shown is what a page is filled with.
type shown struct {
	Title             string
	Style             template.CSS
	Body              template.HTML
	Before, After     string // the neighbours in the order
	Contents, IsFirst bool
}

func (b *book) show(w http.ResponseWriter, name string) {
	source, err := fs.ReadFile(pages, name)
	if err != nil {
		http.Error(w, "There is no such page. /docs/ lists all.", http.StatusNotFound)
		return
	}
	var body, page bytes.Buffer
	if err := b.markdown.Convert(source, &body); err != nil {
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	title, _, _ := strings.Cut(strings.TrimPrefix(string(source), "# "), "\n")
	s := shown{Title: title, Style: template.CSS(style), Body: template.HTML(body.String()), Contents: name == contents} // our own text
	if i := slices.Index(b.order, name); i >= 0 {
		if i > 0 {
			s.Before = b.order[i-1]
		}
		if i+1 < len(b.order) {
			s.After = b.order[i+1]
		}
	}
	if err := b.page.Execute(&page, s); err != nil {
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", b.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(page.Bytes()) // a reader that has gone
}

// outside takes links away that lead to files of the source: a server has only the pages. Their texts stay.
type outside struct{}

// Transform implements parser.ASTTransformer.
func (outside) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	var gone []*ast.Link
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the walk below gives no error
		if l, ok := n.(*ast.Link); ok && entering && bytes.HasPrefix(l.Destination, []byte("../")) {
			gone = append(gone, l)
		}
		return ast.WalkContinue, nil
	})
	for _, l := range gone {
		parent := l.Parent()
		for c := l.FirstChild(); c != nil; c = l.FirstChild() {
			parent.InsertBefore(parent, l, c)
		}
		parent.RemoveChild(parent, l)
	}
}

package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"sync"
)

//go:embed *.html
var frameFiles embed.FS

// Pages are templates by the name of their file, without ".html".
type Pages map[string]*template.Template

// framePages are the frame's own.
var framePages = sync.OnceValue(func() Pages { return ParsePages(frameFiles) })

// ParsePages reads the *.html files of a folder. Each defines "title" and "main", and may define "beside": what stands
// beside the main part, where the page is wide enough (see "tabs"). Files whose names begin with an underscore are parts
// that all pages of the folder may use. It panics on a broken file: they are ours.
func ParsePages(files fs.FS) Pages {
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		panic(err)
	}
	base := template.Must(template.New("").Funcs(templateFuncs).ParseFS(frameFiles, "_*.html"))
	for _, name := range names {
		if strings.HasPrefix(name, "_") && !inFrame(files) {
			base = template.Must(base.ParseFS(files, name))
		}
	}
	out := Pages{}
	for _, name := range names {
		if !strings.HasPrefix(name, "_") {
			out[strings.TrimSuffix(path.Base(name), ".html")] = template.Must(template.Must(base.Clone()).ParseFS(files, name))
		}
	}
	return out
}

func inFrame(files fs.FS) bool { f, ok := files.(embed.FS); return ok && f == frameFiles }

var templateFuncs = template.FuncMap{
	"args":  arguments,
	"list":  func(items ...any) []any { return items },
	"asset": AssetURL,
	"icon":  icon,
	"inc":   func(i int) int { return i + 1 },
}

// arguments are what a part of the layout is given, by name.
func arguments(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("args: a name without a value")
	}
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args: %v is no name", pairs[i])
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}

// View is what a template is filled with: the visit, and what the page is about.
type View struct {
	*Visit
	Data  any
	Brand *Brand
	Style template.HTML
	Notes []Note
}

// SayNote is a notice's text.
func (v *View) SayNote(n Note) string {
	args := make([]any, len(n.Args))
	for i, a := range n.Args {
		args[i] = a
	}
	return v.Say(n.Key, args...)
}

// Choice is a language to choose.
type Choice struct {
	Tag, Name, URL string
	Now            bool
}

// LanguageChoices are the languages that this page may be read in instead; none where a form was sent.
func (v *View) LanguageChoices() []Choice {
	if v.R.Method != "GET" {
		return nil
	}
	var out []Choice
	for _, tag := range Languages() {
		u := url.URL{Path: v.R.URL.Path}
		q := v.R.URL.Query()
		q.Set("lang", tag)
		u.RawQuery = q.Encode()
		out = append(out, Choice{tag, Text(tag, "language"), u.String(), tag == v.Lang})
	}
	return out
}

// Show sends a page.
func (v *Visit) Show(status int, t *template.Template, data any) error {
	l := v.frame.look(v.Tenant)
	view := &View{Visit: v, Data: data, Brand: l.brand(v.Lang), Style: l.style, Notes: v.takeNotes()}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "page", view); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	h := v.W.Header()
	h.Set("Content-Security-Policy", v.contentPolicy(l.styleHash, l.logoOrigin))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	v.W.WriteHeader(status)
	_, _ = v.W.Write(b.Bytes())
	return nil
}

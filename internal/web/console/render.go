package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/web"
)

//go:embed *.html
var pageFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

var style, styleHash = web.PlainStyle()

// assetPath is where the files are served that pages load: ours, and those of the frame of all pages.
const assetPath = Root + "/assets/"

// assets are our files.
var assets = web.ReadAssets(assetFiles)

// assetURL is where a file of ours or of the frame is served.
func assetURL(name string) string {
	if named, ok := assets.Named(name); ok {
		return assetPath + named
	}
	return assetPath + path.Base(web.AssetURL(name))
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	if !assets.Serve(w, r.PathValue("name")) && !web.ServeAsset(w, r) {
		http.NotFound(w, r)
	}
}

// templates are the pages by the name of their file, without ".html". Each defines "title" and "main".
var templates = sync.OnceValue(parsePages)

func parsePages() map[string]*template.Template {
	base := web.Parts(template.FuncMap{"asset": assetURL, "number": number, "size": size, "when": when, "plainly": plainly, "join": strings.Join, "lines": func(list []string) string { return strings.Join(list, "\n") }})
	base = template.Must(base.ParseFS(pageFiles, "_*.html"))
	list, err := pageFiles.ReadDir(".")
	if err != nil {
		panic(err)
	}
	out := map[string]*template.Template{}
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), "_") {
			out[strings.TrimSuffix(e.Name(), ".html")] = template.Must(template.Must(base.Clone()).ParseFS(pageFiles, e.Name()))
		}
	}
	return out
}

// View is what a template is filled with: the visit, and what the page is about.
type View struct {
	*Visit
	Data  any
	Style template.HTML
	Notes []note
	Nav   []navItem
}

// Show sends a page.
func (v *Visit) Show(status int, name string, data any) error {
	t, ok := templates()[name]
	if !ok {
		return fmt.Errorf("there is no page %q", name)
	}
	view := &View{Visit: v, Data: data, Style: style, Notes: v.takeNotes(), Nav: v.nav()}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "page", view); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	v.W.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.W.Header().Set("Content-Language", "en")
	v.W.WriteHeader(status)
	_, _ = v.W.Write(b.Bytes())
	return nil
}

// FormToken is the hidden field that every form has.
func (v *Visit) FormToken() template.HTML {
	return template.HTML(`<input type="hidden" name="` + web.FieldForm + `" value="` + v.token() + `">`) // base64url
}

// Say is a text of the parts that all pages share. Operators' pages are in English.
func (v *Visit) Say(key string, args ...any) string { return web.Text(web.DefaultLang, key, args...) }

// Wrong is what was wrong with the form that is shown again; nil: nothing.
func (v *Visit) Wrong() *problem { return v.wrong }

// Typed is what was entered in a field of a form that is shown again.
func (v *Visit) Typed(name string) string {
	if v.wrong == nil {
		return ""
	}
	return v.Form.Get(name)
}

// Refused says whether the form is shown again that is sent there: below the tenant's page, where the page is about one.
func (v *Visit) Refused(path string) bool {
	at := Root + path
	if v.Tenant != nil {
		at = v.TenantPath(path)
	}
	return v.wrong != nil && v.R.Method == http.MethodPost && v.R.URL.Path == at
}

// RequestID is in the log beside what went wrong.
func (v *Visit) RequestID() string { return v.requestID }

// Version is that of the program.
func (v *Visit) Version() string { return v.s.Version }

// Query is a parameter of the address.
func (v *Visit) Query(name string) string { return v.R.URL.Query().Get(name) }

// Ago says how long ago something was, or in how long it will be.
func (v *Visit) Ago(t time.Time) string {
	d, form := v.s.Now().Sub(t), "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	unit := func(n int64, name string) string {
		if n != 1 {
			name += "s"
		}
		return fmt.Sprintf(form, fmt.Sprintf("%d %s", n, name))
	}
	switch {
	case d < time.Minute:
		return unit(int64(d/time.Second), "second")
	case d < time.Hour:
		return unit(int64(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return unit(int64(d/time.Hour), "hour")
	}
	return unit(int64(d/(24*time.Hour)), "day")
}

// when is a moment as a time element.
func when(t any) template.HTML {
	var at time.Time
	switch t := t.(type) {
	case time.Time:
		at = t
	case *time.Time:
		if t == nil {
			return "–"
		}
		at = *t
	}
	if at.IsZero() {
		return "–"
	}
	at = at.UTC()
	return template.HTML(`<time datetime="` + at.Format(time.RFC3339) + `">` + at.Format("2006-01-02 15:04") + ` UTC</time>`) // digits
}

func number(n any) string {
	switch n := n.(type) {
	case int:
		return grouped(int64(n))
	case int32:
		return grouped(int64(n))
	case int64:
		return grouped(n)
	}
	return fmt.Sprint(n)
}

func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// size is a number of bytes as people write it.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	x, i := float64(n), 0
	for x >= 999.5 && i < len(units)-1 {
		x, i = x/1000, i+1
	}
	digits := 0
	if i > 0 && x < 99.5 {
		digits = 1
	}
	return strconv.FormatFloat(x, 'f', digits, 64) + "\u00a0" + units[i]
}

// navItem is a link of the navigation.
type navItem struct {
	Text, URL, Icon string
	Now             bool
}

// section is a part of the dashboard that the navigation leads to. Those of a tenant are below its own page.
type section struct {
	text, path, icon string
	class            class
}

// sections are those of the deployment, in the order in which they are listed.
var sections = []section{
	{"Overview", Root + "/overview", "home", support},
	{"Tenants", Root + "/tenants", "list", support},
	{"Findings", Root + "/findings", "flag", support},
	{"Jobs", Root + "/jobs", "clock", support},
	{"Usage", Root + "/usage", "ticket", billing},
	{"Backups", Root + "/backups", "folder", support},
	{"Recovery", Root + "/recovery", "key", support},
	{"Operators", Root + "/operators", "people", owner},
	{"Audit", Root + "/audit", "shield", support},
	{"Settings", Root + "/settings", "pen", support},
}

// tenantSections are those of one tenant: the path is what follows the tenant's.
var tenantSections = []section{
	{"Overview", "", "home", biller},
	{"Accounts", "/accounts", "people", supporter},
	{"Sign-ups", "/signups", "person", supporter},
	{"Takedowns", "/takedowns", "flag", supporter},
	{"Invite codes", "/invites", "ticket", supporter},
	{"Mail", "/mail", "mail", supporter},
	{"Settings", "/settings", "pen", supporter},
	{"Health", "/health", "shield", supporter},
	{"Usage", "/usage", "list", biller},
	{"Jobs", "/jobs", "clock", supporter},
	{"Backups", "/backups", "folder", master},
	{"Log", "/log", "eye", admin},
}

// nav is where one can go from here.
func (v *Visit) nav() []navItem {
	if v.User == nil || v.Session.Setup() {
		return nil
	}
	list, root := sections, ""
	if v.Tenant != nil {
		list, root = tenantSections, v.TenantPath("")
	}
	var out []navItem
	best := -1
	for _, s := range list {
		if !v.May(s.class) {
			continue
		}
		at := root + s.path
		out = append(out, navItem{s.text, at, s.icon, false})
		if here := v.R.URL.Path; here == at || strings.HasPrefix(here, at+"/") {
			if best < 0 || len(at) > len(out[best].URL) {
				best = len(out) - 1
			}
		}
	}
	if best >= 0 {
		out[best].Now = true
	}
	return out
}

// TenantPath is the address of a page of the tenant that this page is about.
func (v *Visit) TenantPath(rest string) string { return tenantPath(v.Tenant.Hostname) + rest }

func tenantPath(hostname string) string { return Root + "/t/" + hostname }

// home is where somebody lands.
func home(u *act.DashboardUser) string {
	if u.Tenant != nil {
		return tenantPath(u.Tenant.Hostname)
	}
	for _, s := range sections {
		if s.class.allows(u) {
			return s.path
		}
	}
	return pathOwn
}

// Package account is the pages at /account: what the owner of an account sees and changes of it. A page is a section of
// the table in sections.go. It reads, and what its forms ask for are acts: nothing is changed here.
//
// What matters asks again who it is: see [look.prove].
package account

import (
	"embed"
	"net/http"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/web"
	"github.com/auroralocus/locus/internal/xrpc"
	"github.com/auroralocus/locus/repo/repodb"
)

//go:embed *.html
var files embed.FS

// templates are parsed by who serves them: commands, which are the same program, start without.
var templates = sync.OnceValue(func() web.Pages { return web.ParsePages(files) })

// Deps is what the pages are made from.
type Deps struct {
	Acts      *act.Acts
	DB        *db.DB
	Repos     *repodb.Store
	Blobs     *blob.Blobs
	Documents *identity.Resolver
	Proxy     *proxy.Proxy   // nil: there is nobody to appeal to
	Limits    *limit.Counter // nil: nothing is counted
	Now       func() time.Time
}

// Pages are the pages.
type Pages struct {
	acts      *act.Acts
	db        *db.DB
	repos     *repodb.Store
	blobs     *blob.Blobs
	documents *identity.Resolver
	proxy     *proxy.Proxy
	limits    *limit.Counter
	now       func() time.Time
	downloads *fair.Places
}

// maxDownloads is how many archives one process sends at once. Tenants, and at a tenant accounts, share them.
const maxDownloads = 64

// New makes the pages.
func New(d Deps) *Pages {
	return &Pages{
		acts: d.Acts, db: d.DB, repos: d.Repos, blobs: d.Blobs, documents: d.Documents, proxy: d.Proxy, limits: d.Limits, now: d.Now,
		downloads: fair.NewPlaces(maxDownloads, fair.Waiting{}),
	}
}

// Limits of one account's pages, beside those that all answers have.
var (
	pageBuckets     = []limit.Bucket{{Name: "account-pages-5m", Points: 300, Window: 5 * time.Minute}}
	formBuckets     = []limit.Bucket{{Name: "account-forms-5m", Points: 60, Window: 5 * time.Minute}}
	codeBuckets     = []limit.Bucket{{Name: "account-codes-1h", Points: 5, Window: time.Hour}, {Name: "account-codes-1d", Points: 15, Window: 24 * time.Hour}}
	changeBuckets   = []limit.Bucket{{Name: "account-changes-5m", Points: 10, Window: 5 * time.Minute}, {Name: "account-changes-1d", Points: 50, Window: 24 * time.Hour}}
	lookBuckets     = []limit.Bucket{{Name: "account-handle-looks-5m", Points: 20, Window: 5 * time.Minute}}
	appealBuckets   = []limit.Bucket{{Name: "account-appeals-1d", Points: 10, Window: 24 * time.Hour}}
	downloadBuckets = []limit.Bucket{{Name: "account-downloads-1h", Points: 20, Window: time.Hour}}
)

// Register serves the pages.
func (p *Pages) Register(f *web.Frame, g *xrpc.Group) {
	templates() // a broken one is found now, not by a visitor
	for i := range sections {
		s := &sections[i]
		f.Get(g, s.path(), func(v *web.Visit) error { return p.get(v, s) })
		if len(s.does) > 0 {
			f.Post(g, s.path(), func(v *web.Visit, form web.Form) error { return p.post(v, s, form) })
		}
	}
	f.Get(g, root+"/data/repo.car", p.download((*Pages).sendRepo))
	f.Get(g, root+"/data/archive.zip", p.download((*Pages).sendArchive))
	f.Get(g, root+"/data/preferences.json", p.download((*Pages).sendPreferences))
}

// root is where the pages are.
const root = "/account"

func (p *Pages) get(v *web.Visit, s *section) error {
	l, err := p.look(v, s)
	if err != nil || l == nil {
		return err
	}
	if err := l.limit(pageBuckets); err != nil {
		return err
	}
	return l.show(http.StatusOK)
}

func (p *Pages) post(v *web.Visit, s *section, form web.Form) error {
	l, err := p.look(v, s)
	if err != nil || l == nil {
		return err
	}
	l.Form = form
	d, known := s.does[form.Get("do")]
	if !known {
		return web.NotFound
	}
	if err := l.limit(formBuckets); err != nil {
		return err
	}
	if l.owner.TakenDown && !d.always {
		return l.refuse(errTakenDown, l.show)
	}
	if d.proof && l.NeedsProof() {
		again := l.confirm
		if d.inline {
			again = l.show
		} else if !l.asked() {
			return l.confirm(http.StatusOK)
		}
		if err := l.prove(); err != nil {
			return l.refuse(err, again)
		}
	}
	err = l.limit(d.limits)
	if err == nil {
		err = d.run(l)
	}
	if err != nil {
		return l.refuse(err, l.show)
	}
	return nil
}

// refuse shows a page again with what is wrong, or gives the error on: then it is a page of its own.
func (l *look) refuse(err error, again func(status int) error) error {
	wrong, ok := l.said(err)
	if !ok {
		return err
	}
	l.Wrong = wrong
	return again(wrong.status)
}

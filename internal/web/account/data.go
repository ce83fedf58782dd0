package account

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/ipfs/go-cid"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/web"
	"github.com/auroralocus/locus/repo"
)

// dataPage is what the page of downloads shows.
type dataPage struct {
	RepoBytes, Bytes int64 // about
	Parts            []int // of the archive; none: it is one
}

func dataData(l *look) (any, error) {
	u, err := l.usage()
	if err != nil {
		return nil, err
	}
	// What lies around a record in an archive: its CID and length, and a share of the tree.
	d := &dataPage{RepoBytes: u.RecordBytes + u.Records*120}
	d.Bytes = d.RepoBytes + u.FileBytes
	if n := int((u.Files + archiveFiles - 1) / archiveFiles); n > 1 {
		for i := range n {
			d.Parts = append(d.Parts, i+1)
		}
	}
	return d, nil
}

// download is a handler of a file that is sent to its owner.
func (p *Pages) download(send func(*Pages, *look, http.ResponseWriter) error) func(*web.Visit) error {
	s := &section{name: "data"}
	return func(v *web.Visit) error {
		l, err := p.look(v, s)
		if err != nil || l == nil {
			return err
		}
		if err := l.limit(downloadBuckets); err != nil {
			return err
		}
		return send(p, l, v.W)
	}
}

// attachment sends what is written as a file. What fails before the first byte becomes a page; after it the connection is
// cut, because a shorter file would look like a whole one.
func (l *look) attachment(kind, name string, write func(io.Writer) error) error {
	out := &started{w: l.W, begin: func(h http.Header) {
		h.Set("Content-Type", kind)
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}}
	err := write(out)
	if err == nil {
		out.start()
		return nil
	}
	if !out.going {
		return err
	}
	if out.err == nil { // not the reader's doing
		l.Caller.LogError(err)
	}
	panic(http.ErrAbortHandler)
}

// started sends the head of an answer with its first byte.
type started struct {
	w     http.ResponseWriter
	begin func(http.Header)
	going bool
	err   error // of the reader
}

func (s *started) start() {
	if !s.going {
		s.going = true
		s.begin(s.w.Header())
		s.w.WriteHeader(http.StatusOK)
	}
}

func (s *started) Write(b []byte) (int, error) {
	s.start()
	n, err := s.w.Write(b)
	if err != nil {
		s.err = err
	}
	return n, err
}

// fileName begins with what the account is called.
func (l *look) fileName(rest string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(l.Name()))
	return name + "-" + l.Now().UTC().Format("2006-01-02") + rest
}

func (p *Pages) sendRepo(l *look, _ http.ResponseWriter) error {
	return l.attachment("application/vnd.ipld.car", l.fileName(".car"), func(w io.Writer) error {
		return p.export(l, w)
	})
}

func (p *Pages) export(l *look, w io.Writer) error {
	return p.repos.Export(l.R.Context(), l.owner.From, l.Tenant.Schema, l.owner.AID, repo.TID(0), w)
}

func (p *Pages) sendPreferences(l *look, _ http.ResponseWriter) error {
	items, err := p.preferences(l)
	if err != nil {
		return err
	}
	return l.attachment("application/json", l.fileName("-preferences.json"), asJSON(preferencesOf(items)))
}

func (p *Pages) preferences(l *look) ([]jsontext.Value, error) {
	return accounts.Preferences(l.R.Context(), p.db.Tenant(l.Tenant.Schema).Q(), p.now(), l.owner.AID, true)
}

func (p *Pages) sendArchive(l *look, _ http.ResponseWriter) error {
	place := p.downloads.Try(l.Tenant.Schema.String(), l.owner.DID)
	if place == nil {
		return errDownloads
	}
	defer place.Release()
	part, err := strconv.Atoi(l.R.URL.Query().Get("part"))
	if err != nil || part < 1 {
		part = 1
	}
	a, err := p.archive(l, part)
	if err != nil {
		return err
	}
	name := ".zip"
	if part > 1 {
		name = "-" + strconv.Itoa(part) + ".zip"
	}
	return l.attachment("application/zip", l.fileName(name), func(w io.Writer) error { return a.write(l.R.Context(), w) })
}

// archive is the part of everything that was asked for.
func (p *Pages) archive(l *look, part int) (*archive, error) {
	schema, aid := l.Tenant.Schema, l.owner.AID
	a := &archive{at: p.now().UTC(), files: func(ctx context.Context, after cid.Cid) ([]cid.Cid, error) {
		return p.blobs.List(ctx, schema, aid, repo.TID(0), after, filePage)
	}, open: func(ctx context.Context, c cid.Cid) (*blob.Opened, error) {
		return p.blobs.Open(ctx, schema, aid, c)
	}}
	for i := 1; i < part; i++ { // what the parts before this one have
		for range archiveFiles / filePage {
			page, err := a.files(l.R.Context(), a.after)
			if err != nil {
				return nil, err
			}
			if len(page) == 0 {
				return nil, web.NotFound
			}
			a.after = page[len(page)-1]
		}
	}
	if part > 1 {
		return a, nil
	}
	var err error
	if a.preferences, err = p.preferences(l); err != nil {
		return nil, err
	}
	if doc, err := p.documents.Resolve(l.R.Context(), l.owner.Asks, l.owner.DID); err == nil {
		a.document = doc
	}
	a.repo = func(w io.Writer) error { return p.export(l, w) }
	return a, nil
}

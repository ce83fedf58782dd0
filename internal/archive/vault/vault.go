// Package vault keeps archives of tenants in a place that the deployment names: a folder or a bucket, outside of the
// databases and the tenants' files.
//
// # What lies there
//
// Each archive is two files in a folder of its tenant's: the archive, and behind it a few lines of JSON that say what it
// is. An archive without these is one whose writer died, or is at it. So the place tells all by itself, also to a
// deployment that knows nothing of the one that made them.
//
// A folder is named after the tenant's schema and the moment when the tenant was made. A hostname may be another tenant's
// one day, who is not to see the archives of the one before.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/blob/store"
)

var (
	// ErrNone means that the deployment has no place for archives.
	ErrNone = errors.New("this deployment has no store of backups (--backup-store or LOCUS_BACKUP_STORE names one)")
	// ErrNotFound: no archive has that name.
	ErrNotFound = errors.New("no such backup")
	// ErrStore means that the place does not do what it should.
	ErrStore = errors.New("the store of backups failed")
)

const (
	ending  = ".locus"
	said    = ".json"
	maxSaid = 64 << 10
	// deadAfter is how old what a dead writer left is when it is removed.
	deadAfter = 48 * time.Hour
	readers   = 8
)

// Entry says what an archive is.
type Entry struct {
	Name       string    `json:"name"`
	Hostname   string    `json:"hostname"`
	TenantID   int64     `json:"tenantId"`
	Schema     string    `json:"schema"`
	MadeAt     time.Time `json:"madeAt"` // the moment that it shows
	Program    string    `json:"program"`
	By         string    `json:"by"`
	Role       string    `json:"role,omitempty"` // of by, in the deployment
	Job        string    `json:"job,omitempty"`
	Encrypted  bool      `json:"encrypted"`
	Recipients []string  `json:"recipients,omitempty"`
	Blobs      string    `json:"blobs"`
	Bytes      int64     `json:"bytes"` // of the file
	Rows       int64     `json:"rows"`
	Files      int64     `json:"files"`
	Missing    int64     `json:"missingFiles"`
	LastSeq    int64     `json:"lastSeq"`
	KeepUntil  time.Time `json:"keepUntil,omitzero"` // zero: until somebody deletes it
}

// Tenant is whose archives are in a folder.
type Tenant struct {
	Schema    string
	CreatedAt time.Time
}

func (t Tenant) folder() string { return fmt.Sprintf("%s-%x", t.Schema, t.CreatedAt.UTC().UnixMicro()) }

// Vault is the place.
type Vault struct {
	files store.Files
	now   func() time.Time
}

// New opens it. A nil Vault is a deployment without one: everything answers [ErrNone].
func New(files store.Files, now func() time.Time) *Vault { return &Vault{files, now} }

// Where says for people where it is.
func (v *Vault) Where() string {
	if v == nil {
		return "nowhere"
	}
	return v.files.Where()
}

// names are those of archives: the folder, and the file without its ending. The day until which one is kept is in it, so
// that what is over is found by its name.
var names = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9_]{1,40}-[0-9a-f]{1,16}\.[0-9]{8}T[0-9]{6}Z-[0-9a-z]{8,16}-k([0-9]{8}|0)-[a-z0-9.-]{1,253}$`)
})

func fileOf(name string) (string, error) {
	if !names().MatchString(name) {
		return "", fmt.Errorf("%w: %.80q", ErrNotFound, name)
	}
	folder, rest, _ := strings.Cut(name, ".")
	return folder + "/" + rest, nil
}

func nameOf(file string) (string, bool) {
	file, ok := strings.CutSuffix(file, said)
	if !ok {
		return "", false
	}
	folder, rest, ok := strings.Cut(file, "/")
	name := folder + "." + rest
	return name, ok && names().MatchString(name)
}

// Name is that of an archive which a piece of work begins at a moment. The same work gets the same name, and so writes over
// what an attempt before it left.
func Name(of Tenant, hostname string, began time.Time, work string, keepUntil time.Time) string {
	keep := "0"
	if !keepUntil.IsZero() {
		keep = keepUntil.UTC().Format("20060102")
	}
	if len(work) > 10 {
		work = work[len(work)-10:] // the part that is by chance
	}
	return fmt.Sprintf("%s.%s-%s-k%s-%s", of.folder(), began.UTC().Format("20060102T150405Z"), work, keep, strings.ToLower(hostname))
}

// Add writes an archive and then says what it is. e is completed by from.
func (v *Vault) Add(ctx context.Context, e Entry, from func(w io.Writer, e *Entry) error) (Entry, error) {
	if v == nil {
		return e, ErrNone
	}
	file, err := fileOf(e.Name)
	if err != nil {
		return e, err
	}
	if e.Bytes, err = v.files.Write(ctx, file+ending, func(w io.Writer) error { return from(w, &e) }); err != nil {
		return e, failed("keep "+e.Name, err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return e, err
	}
	_, err = v.files.Write(ctx, file+said, func(w io.Writer) error { _, err := w.Write(text); return err })
	if err != nil {
		return e, failed("say what "+e.Name+" is", err)
	}
	return e, nil
}

func failed(what string, err error) error {
	switch {
	case errors.Is(err, store.ErrMissing):
		return ErrNotFound
	case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrTimeout):
		return fmt.Errorf("%w: %s: %w", ErrStore, what, err)
	}
	return err
}

// Get says what an archive is. Errors: [ErrNotFound].
func (v *Vault) Get(ctx context.Context, name string) (e Entry, err error) {
	if v == nil {
		return e, ErrNone
	}
	file, err := fileOf(name)
	if err != nil {
		return e, err
	}
	in, _, err := v.files.Open(ctx, file+said)
	if err != nil {
		return e, failed("read what "+name+" is", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxSaid))
	if err != nil {
		return e, failed("read what "+name+" is", err)
	}
	return entryOf(name, text), nil
}

// Unreadable is by whom an archive was made of which nobody can read what is said.
const Unreadable = "unknown: what is said of it cannot be read"

// entryOf reads what is said of an archive. Others may have written into the place: what cannot be read hides neither this
// archive nor the others, and what stands in the name is known still.
func entryOf(name string, text []byte) (e Entry) {
	if json.Unmarshal(text, &e) != nil || e.Hostname == "" || e.MadeAt.IsZero() || min(e.Bytes, e.Rows, e.Files, e.Missing, e.LastSeq) < 0 {
		e = Entry{By: Unreadable}
		folder, rest, _ := strings.Cut(name, ".")
		e.Schema = folder[:max(strings.LastIndex(folder, "-"), 0)]
		if parts := strings.SplitN(rest, "-", 4); len(parts) == 4 {
			e.Hostname = parts[3]
			e.MadeAt, _ = time.Parse("20060102T150405Z", parts[0])
			e.KeepUntil, _ = time.Parse("k20060102", parts[2]) // none: it is not said
		}
	}
	e.Name = name
	return e
}

// Of tells whether an archive is a tenant's.
func (e Entry) Of(t Tenant) bool { return strings.HasPrefix(e.Name, t.folder()+".") }

// Open reads an archive, as it lies there. Errors: [ErrNotFound].
func (v *Vault) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if v == nil {
		return nil, ErrNone
	}
	file, err := fileOf(name)
	if err != nil {
		return nil, err
	}
	in, _, err := v.files.Open(ctx, file+ending)
	return in, failed("read "+name, err)
}

// List gives archives of one tenant, or of all where of is nil: each tenant's newest first, at most so many, behind the
// one that is named. more says that there are others.
func (v *Vault) List(ctx context.Context, of *Tenant, behind string, most int) (page []Entry, more bool, err error) {
	if v == nil {
		return nil, false, ErrNone
	}
	all, err := v.names(ctx, of)
	if err != nil {
		return nil, false, err
	}
	slices.SortFunc(all, order)
	if behind != "" {
		at := slices.IndexFunc(all, func(name string) bool { return order(name, behind) > 0 })
		if at < 0 {
			at = len(all)
		}
		all = all[at:]
	}
	if more = len(all) > most; more {
		all = all[:most]
	}
	page, err = v.read(ctx, all)
	return page, more, err
}

// order is by folder, and within it the newest first.
func order(a, b string) int {
	folderA, restA, _ := strings.Cut(a, ".")
	folderB, restB, _ := strings.Cut(b, ".")
	if c := strings.Compare(folderA, folderB); c != 0 {
		return c
	}
	return strings.Compare(restB, restA)
}

func (v *Vault) names(ctx context.Context, of *Tenant) (all []string, err error) {
	folder := ""
	if of != nil {
		folder = of.folder()
	}
	err = v.files.List(ctx, folder, func(f store.Found) error {
		if name, ok := nameOf(f.Object); ok {
			all = append(all, name)
		}
		return nil
	})
	return all, failed("list backups", err)
}

// read reads what is said of archives, several at a time; one that went meanwhile is left out.
func (v *Vault) read(ctx context.Context, all []string) ([]Entry, error) {
	found, errs := make([]*Entry, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	places := make(chan struct{}, readers)
	for i, name := range all {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			e, err := v.Get(ctx, name)
			switch {
			case err == nil:
				found[i] = &e
			case !errors.Is(err, ErrNotFound):
				errs[i] = err
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	page := make([]Entry, 0, len(all))
	for _, e := range found {
		if e != nil {
			page = append(page, *e)
		}
	}
	return page, nil
}

// Remove deletes an archive. Errors: [ErrNotFound].
func (v *Vault) Remove(ctx context.Context, name string) error {
	if v == nil {
		return ErrNone
	}
	if _, err := v.Get(ctx, name); errors.Is(err, ErrNotFound) {
		return err
	}
	file, _ := fileOf(name) // Get has read it
	// First what says that it is there: nobody is told of half an archive.
	err := v.files.Remove(ctx, file+said)
	if err == nil {
		err = v.files.Remove(ctx, file+ending)
	}
	return failed("delete "+name, err)
}

// Expire deletes archives whose time is over, but never the newest of a tenant, and what dead writers left. It gives the
// names of those that it deleted.
func (v *Vault) Expire(ctx context.Context) (gone []string, err error) {
	if v == nil {
		return nil, ErrNone
	}
	now := v.now().UTC()
	all := map[string]bool{} // archives that are said to be there
	var alone []store.Found
	err = v.files.List(ctx, "", func(f store.Found) error {
		if name, ok := nameOf(f.Object); ok {
			all[name] = true
		} else if strings.HasSuffix(f.Object, ending) && f.Modified.Before(now.Add(-deadAfter)) {
			alone = append(alone, f)
		}
		return nil
	})
	if err != nil {
		return nil, failed("list backups", err)
	}
	sorted := make([]string, 0, len(all))
	for name := range all {
		sorted = append(sorted, name)
	}
	slices.SortFunc(sorted, order)
	folder := ""
	for _, name := range sorted {
		of, _, _ := strings.Cut(name, ".")
		newest := of != folder
		folder = of
		if keep := names().FindStringSubmatch(name)[1]; newest || keep == "0" || keep >= now.Format("20060102") {
			continue
		}
		if err := v.Remove(ctx, name); err != nil && !errors.Is(err, ErrNotFound) {
			return gone, err
		}
		gone = append(gone, name)
	}
	for _, f := range alone {
		if name, ok := nameOf(strings.TrimSuffix(f.Object, ending) + said); ok && !all[name] {
			if err := v.files.Remove(ctx, f.Object); err != nil {
				return gone, failed("delete "+f.Object, err)
			}
		}
	}
	return gone, failed("sweep", v.files.Sweep(ctx, now.Add(-deadAfter)))
}

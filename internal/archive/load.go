package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/keyring"
)

// Target says where an archive is loaded.
type Target struct {
	// Rows is the schema that is made for them. Nobody uses it before the load has ended.
	Rows db.Schema
	// Owner is the schema that they will be in afterwards: secrets are bound to it and files named after it.
	Owner db.Schema
	// Same: the tenant is the one that the archive was made of, and files that it still has stay where they are.
	// Otherwise they are copied: two tenants never have one object.
	Same bool
	// Location is the tenant's setting for new files, "" for the deployment's.
	Location string
	// Prove looks at files and puts none anywhere: those of the archive are held against their digests, the others looked
	// for where the rows say that they are.
	Prove    bool
	Progress Progress
}

// Loaded is what came of a load.
type Loaded struct {
	Rows         int64 // of all tables
	Blobs        int64 // that are there
	BlobsKept    int64 // of these, those that were there before
	BlobsMissing int64 // whose bytes were neither in the archive nor in a store
	BlobsWrong   int64 // of a proof: whose bytes are other ones
	Bytes        int64
}

// parallel is how many files are on their way into a store at once.
const parallel = 8

// Check proves that an archive is whole, and that what is sealed in it can be opened here, before anything is written.
// Errors: [ErrDamaged], [ErrNotArchive], [ErrTooNew], [ErrSealed].
func (s *Store) Check(ctx context.Context, r io.Reader, progress Progress) (h Header, m Manifest, err error) {
	a, err := NewReader(r)
	if err != nil {
		return h, m, err
	}
	latest, err := db.LatestTenantVersion()
	if err != nil {
		return h, m, err
	}
	if a.Header.Schema > latest {
		return a.Header, m, fmt.Errorf("%w (%s): its tables are of version %d, this program knows %d", ErrTooNew, a.Header.Program, a.Header.Schema, latest)
	}
	re, err := s.resealer(a.Header, db.Schema{})
	if err != nil {
		return a.Header, m, err
	}
	for {
		it, err := a.Next()
		if err == io.EOF {
			return a.Header, a.Manifest, nil
		}
		if err == nil && it.Table != nil && looks(it.Table.Name) {
			_, err = eachRow(io.Discard, it, it.Table.Columns, re.change(it.Table.Name))
		}
		if err == nil {
			_, err = io.Copy(io.Discard, ending{ctx, it})
		}
		if err != nil {
			return a.Header, m, err
		}
		if progress != nil {
			progress("proving the archive", a.sum.Bytes, max(a.sum.Bytes, a.Header.Bytes))
		}
	}
}

// ending stops reading when its context ends.
type ending struct {
	ctx context.Context
	io.Reader
}

func (e ending) Read(p []byte) (int, error) {
	if err := context.Cause(e.ctx); err != nil {
		return 0, err
	}
	return e.Reader.Read(p)
}

func (s *Store) resealer(h Header, is db.Schema) (*resealer, error) {
	re := &resealer{keys: s.Keys, was: h.Tenant.SchemaName, is: is.String()}
	if re.is == "" {
		re.is = re.was
	}
	if len(h.Keys) > 0 {
		var err error
		if re.carried, err = keyring.OpenCarried(re.was, h.Keys); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return re, nil
}

// Load makes a schema of an archive. On an error, or when the process dies, the schema is to be dropped: see [Store.Clear].
// The archive is proven on the way, too. Errors: those of [Store.Check].
func (s *Store) Load(ctx context.Context, r io.Reader, to Target) (h Header, out Loaded, err error) {
	if to.Progress == nil {
		to.Progress = func(string, int64, int64) {}
	}
	a, err := NewReader(ending{ctx, r})
	if err != nil {
		return h, out, err
	}
	h = a.Header
	if err := s.DB.CreateTenantSchemaAt(ctx, to.Rows, h.Schema); err != nil {
		if errors.Is(err, db.ErrTooNew) {
			return h, out, fmt.Errorf("%w (%s): %w", ErrTooNew, h.Program, err)
		}
		return h, out, err
	}
	if !to.Prove {
		s.Blobs.Prepare(ctx, to.Location)
	}
	l := &loader{store: s, archive: a, to: to, tenant: s.DB.Tenant(to.Rows), out: &out, step: "loading"}
	if l.reseal, err = s.resealer(h, to.Owner); err != nil {
		return h, out, err
	}
	if err := l.tenant.LoadTx(ctx, l.tables(ctx)); err != nil {
		return h, out, err
	}
	l.step = "bringing its tables up to date"
	l.progress()
	if err := s.DB.MigrateTenant(ctx, to.Rows); err != nil {
		return h, out, err
	}
	l.step = "bringing files back"
	if err := l.blobs(ctx); err != nil {
		return h, out, err
	}
	return h, out, l.rest()
}

// Clear takes away what a load that did not end has left. What is not there is no error.
func (s *Store) Clear(ctx context.Context, rows db.Schema) error {
	return s.DB.DropTenantSchema(ctx, rows)
}

type loader struct {
	store   *Store
	archive *Reader
	to      Target
	tenant  *db.Tenant
	reseal  *resealer
	out     *Loaded
	step    string
	next    *Item // a file that was met
	ended   bool  // the archive
}

func (l *loader) progress() {
	l.to.Progress(l.step, l.archive.sum.Bytes, max(l.archive.sum.Bytes, l.archive.Header.Bytes))
}

// tables loads the rows, up to the first file.
func (l *loader) tables(ctx context.Context) func(tx *db.LoadTx) error {
	return func(tx *db.LoadTx) error {
		if err := tx.Empty(ctx); err != nil {
			return err
		}
		known, err := tx.Tables(ctx)
		if err != nil {
			return err
		}
		for {
			it, err := l.archive.Next()
			if err == io.EOF {
				l.ended = true
				return nil
			}
			if err != nil {
				return err
			}
			if it.Table == nil {
				l.next = it
				return nil
			}
			l.step = "loading table " + it.Table.Name
			if err := l.table(ctx, tx, known, it); err != nil {
				return fmt.Errorf("table %.60q: %w", it.Table.Name, err)
			}
			l.progress()
		}
	}
}

func (l *loader) table(ctx context.Context, tx *db.LoadTx, known []db.Table, it *Item) error {
	i := slices.IndexFunc(known, func(t db.Table) bool { return t.Name == it.Table.Name })
	if i < 0 {
		return fmt.Errorf("%w: version %d has no such table", ErrDamaged, l.archive.Header.Schema)
	}
	for _, c := range it.Table.Columns {
		if !slices.Contains(known[i].Names(), c) {
			return fmt.Errorf("%w: version %d has no column %.60q", ErrDamaged, l.archive.Header.Schema, c)
		}
	}
	var from io.Reader = watched{it, l}
	var kept int64
	var changed chan error
	if looks(it.Table.Name) {
		in, out := io.Pipe()
		changed = make(chan error, 1)
		go func() {
			var err error
			kept, err = eachRow(out, watched{it, l}, it.Table.Columns, l.reseal.change(it.Table.Name))
			out.CloseWithError(err)
			changed <- err
		}()
		defer in.Close()
		from = in
	}
	n, err := tx.CopyIn(ctx, from, it.Table.Name, it.Table.Columns...)
	if changed != nil {
		if c, ok := from.(io.Closer); ok {
			_ = c.Close() // so that the other side ends
		}
		if why := <-changed; why != nil && (err == nil || !errors.Is(why, io.ErrClosedPipe)) {
			return why
		}
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, it); err != nil {
		return err
	}
	if changed == nil {
		kept = it.Rows
	}
	if n != kept {
		return fmt.Errorf("%w: %d rows went in, not %d", ErrDamaged, n, kept)
	}
	l.out.Rows += n
	return nil
}

// watched shows progress while a table is read.
type watched struct {
	*Item
	l *loader
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.Item.Read(p)
	w.l.out.Bytes += int64(n)
	w.l.to.Progress(w.l.step, w.l.out.Bytes, max(w.l.out.Bytes, w.l.archive.Header.Bytes))
	return n, err
}

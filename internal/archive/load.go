package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
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

// blobs walks through the rows and the archive's files, which have the same order.
func (l *loader) blobs(ctx context.Context) error {
	if err := l.store.Blobs.Learn(ctx, l.to.Rows); err != nil {
		return err
	}
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	err := l.eachBlob(work, func(row tenantdb.ListBlobsInRow) error { return l.blob(work, g, row) })
	return errors.Join(g.Wait(), err)
}

func (l *loader) eachBlob(ctx context.Context, do func(tenantdb.ListBlobsInRow) error) error {
	after := tenantdb.ListBlobsInParams{AfterCID: []byte{}, MaxRows: blobPage}
	for {
		rows, err := l.tenant.Q().ListBlobsIn(ctx, after)
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		for _, row := range rows {
			after.AfterAID, after.AfterCID = row.AID, row.CID
			if err := do(row); err != nil {
				return fmt.Errorf("file %s of %s: %w", textOf(row.CID), row.DID, err)
			}
			l.progress()
		}
	}
}

func textOf(raw []byte) string {
	c, err := cid.Cast(raw)
	if err != nil {
		return fmt.Sprintf("%x", raw)
	}
	return c.String()
}

// blob sees that a row's bytes are in a store of the tenant's own.
func (l *loader) blob(ctx context.Context, g *errgroup.Group, row tenantdb.ListBlobsInRow) error {
	in, err := l.included(row)
	if err != nil {
		return err
	}
	if l.to.Prove {
		return l.prove(ctx, row, in)
	}
	if l.to.Same {
		there, err := l.store.Blobs.Has(ctx, l.to.Rows, row)
		if err != nil && in == nil { // an archive with the bytes needs no store that is gone
			return err
		}
		if there {
			l.out.Blobs, l.out.BlobsKept = l.out.Blobs+1, l.out.BlobsKept+1
			return nil
		}
	}
	var from io.ReadCloser
	switch {
	case in != nil:
		from = io.NopCloser(in)
	case l.archive.Header.Blobs == BlobsNone:
	default:
		from, err = l.store.Blobs.Fetch(ctx, l.to.Rows, row)
		if err != nil && ctx.Err() == nil {
			l.store.Log.Warn("a file cannot be had", "did", row.DID, "cid", textOf(row.CID), "err", err)
			from = nil
		}
	}
	if from == nil {
		l.out.BlobsMissing++
		return l.store.Blobs.GiveUp(ctx, l.to.Rows, row)
	}
	back, err := l.store.Blobs.Return(ctx, l.to.Rows, l.to.Owner, l.to.Location, row, from)
	_ = from.Close()
	if errors.Is(err, blob.ErrLost) && in == nil {
		l.out.BlobsMissing++
		return l.store.Blobs.GiveUp(ctx, l.to.Rows, row)
	}
	if err != nil {
		return err
	}
	l.out.Blobs++
	g.Go(func() error {
		if err := back.Put(ctx); err != nil {
			return fmt.Errorf("file %s of %s: %w", textOf(row.CID), row.DID, err)
		}
		return nil
	})
	return nil
}

// prove looks whether a row's file is there and what it should be.
func (l *loader) prove(ctx context.Context, row tenantdb.ListBlobsInRow, in *Item) error {
	if in == nil {
		there := false
		if l.archive.Header.Blobs == BlobsReferred {
			var err error
			if there, err = l.store.Blobs.Has(ctx, l.to.Rows, row); err != nil && ctx.Err() != nil {
				return err
			}
		}
		if there {
			l.out.Blobs++
		} else {
			l.out.BlobsMissing++
		}
		return nil
	}
	digest := sha256.New()
	n, err := io.Copy(digest, in)
	if err != nil {
		return err
	}
	if n != row.Size || !bytes.HasSuffix(row.CID, digest.Sum(nil)) {
		l.out.BlobsWrong++
		return nil
	}
	l.out.Blobs++
	return nil
}

// included is the archive's file for a row, or nil.
func (l *loader) included(row tenantdb.ListBlobsInRow) (*Item, error) {
	if l.next == nil && !l.ended {
		it, err := l.archive.Next()
		switch {
		case err == io.EOF:
			l.ended = true
		case err != nil:
			return nil, err
		default:
			l.next = it
		}
	}
	it := l.next
	if it == nil || it.Blob.AID != row.AID || it.Blob.CID != textOf(row.CID) {
		return nil, nil
	}
	l.next = nil
	// Its end may say that it is not there.
	if row.Size > 0 {
		if err := it.peek(); err != nil {
			return nil, err
		}
		if it.done {
			return nil, nil
		}
	}
	return it, nil
}

// peek reads the first piece.
func (it *Item) peek() error {
	for len(it.data) == 0 && !it.done {
		if err := it.more(); err != nil {
			it.of.err = err
			return err
		}
	}
	return nil
}

// rest reads on to the end, which proves the whole. Files that no row has are passed over.
func (l *loader) rest() error {
	for !l.ended {
		_, err := l.archive.Next()
		if err == io.EOF {
			l.ended = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

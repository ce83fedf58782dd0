package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/ipfs/go-cid"
)

// Store makes archives and loads them.
type Store struct {
	DB    *db.DB
	Blobs *blob.Blobs
	Keys  *keyring.Keyring
	Now   func() time.Time
	Log   *slog.Logger
	// Program is the version of this program.
	Program string
}

// Progress hears how far the work is; total 0: not known.
type Progress func(step string, done, total int64)

// Options say how an archive is made.
type Options struct {
	Blobs    BlobMode
	Lock     Lock
	Progress Progress
}

const (
	// holdFor is how long files are kept after the last sign of life of a backup; holdEvery is how often it gives one.
	holdFor   = 6 * time.Hour
	holdEvery = time.Hour
	blobPage  = 500
)

// Dump writes an archive of a tenant, while it is served. It is of one moment: files that are deleted or moved meanwhile
// stay in their store until they have been read.
func (s *Store) Dump(ctx context.Context, schema db.Schema, t Tenant, w io.Writer, o Options) (h Header, m Manifest, err error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	locked, err := o.Lock.Wrap(w)
	if err != nil {
		return h, m, err
	}
	t.SchemaName = schema.String()
	h = Header{Program: s.Program, MadeAt: s.Now().UTC().Truncate(time.Second), Tenant: t, Blobs: o.Blobs}
	if o.Lock.Encrypts() {
		if h.Keys, err = s.Keys.Carry(schema.String()); err != nil {
			return h, m, err
		}
	}
	d := &dumper{store: s, schema: schema, o: o, h: &h}
	if o.Blobs == BlobsIncluded {
		if err := d.hold(ctx); err != nil {
			return h, m, err
		}
		defer func() {
			// Whatever happened, what waits to be deleted need not wait for hours. Another backup's hold goes with it only
			// if it says nothing for as long.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_ = s.DB.Tenant(schema).Q().DeleteFilesHeld(ctx, d.heldUntil) // it ends by itself
		}()
	}
	err = s.DB.Tenant(schema).ReadTx(ctx, func(tx *db.ReadTx) error {
		m, err = d.dump(ctx, tx, locked)
		return err
	})
	if err != nil {
		return h, m, err
	}
	return h, m, locked.Close()
}

type dumper struct {
	store     *Store
	schema    db.Schema
	o         Options
	h         *Header
	out       *Writer
	heldUntil time.Time
	step      string
	done      int64 // bytes
}

func (d *dumper) progress(step string) {
	if step != "" {
		d.step = step
	}
	d.o.Progress(d.step, d.done, max(d.done, d.h.Bytes))
}

func (d *dumper) hold(ctx context.Context) error {
	now := d.store.Now()
	if d.heldUntil.Sub(now) > holdFor-holdEvery {
		return nil
	}
	d.heldUntil = now.Add(holdFor).UTC().Truncate(time.Microsecond)
	return blob.Hold(ctx, d.store.DB.Tenant(d.schema).Q(), d.heldUntil)
}

func (d *dumper) dump(ctx context.Context, tx *db.ReadTx, w io.Writer) (m Manifest, err error) {
	if err := tx.Unhurried(ctx); err != nil {
		return m, err
	}
	if d.h.Schema, err = tx.Version(ctx); err != nil {
		return m, err
	}
	head, err := tx.Q().GetStreamState(ctx, 0)
	if err != nil {
		return m, fmt.Errorf("stream of %s: %w", d.schema, err)
	}
	d.h.LastSeq, d.h.Timeline = head.LastSeq, head.Timeline
	tables, err := tx.Tables(ctx)
	if err != nil {
		return m, err
	}
	for _, t := range tables {
		d.h.Rows += t.Rows
		d.h.Bytes += t.Bytes
	}
	if d.o.Blobs == BlobsIncluded {
		n, err := tx.Q().GetBlobTotals(ctx)
		if err != nil {
			return m, fmt.Errorf("count files: %w", err)
		}
		d.h.Files, d.h.Bytes = n.Blobs, d.h.Bytes+n.Bytes
	}
	if d.out, err = NewWriter(w, *d.h); err != nil {
		return m, err
	}
	for _, t := range tables {
		if err := d.table(ctx, tx, t); err != nil {
			return m, err
		}
	}
	if d.o.Blobs == BlobsIncluded {
		if err := d.blobs(ctx, tx); err != nil {
			return m, err
		}
	}
	return d.out.Close()
}

func (d *dumper) table(ctx context.Context, tx *db.ReadTx, t db.Table) error {
	if t.Unlogged { // a crash of the server would have emptied it, too
		return nil
	}
	if err := d.out.Table(Table{Name: t.Name, Columns: t.Names()}); err != nil {
		return err
	}
	d.progress("reading table " + t.Name)
	rows, err := tx.CopyOut(ctx, d, t)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	if err := d.out.EndTable(rows); err != nil {
		return err
	}
	if d.o.Blobs == BlobsIncluded {
		return d.hold(ctx)
	}
	return nil
}

// Write implements io.Writer for what goes into the item.
func (d *dumper) Write(p []byte) (int, error) {
	n, err := d.out.Write(p)
	d.done += int64(n)
	d.progress("")
	return n, err
}

func (d *dumper) blobs(ctx context.Context, tx *db.ReadTx) error {
	after := tenantdb.ListBlobsInParams{AfterCID: []byte{}, MaxRows: blobPage}
	for {
		rows, err := tx.Q().ListBlobsIn(ctx, after)
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		d.progress("reading files")
		for _, row := range rows {
			if err := d.blob(ctx, row); err != nil {
				return err
			}
			after.AfterAID, after.AfterCID = row.AID, row.CID
		}
		if err := d.hold(ctx); err != nil {
			return err
		}
	}
}

func (d *dumper) blob(ctx context.Context, row tenantdb.ListBlobsInRow) error {
	c, err := cid.Cast(row.CID)
	if err != nil {
		return fmt.Errorf("file of %s: %w", row.DID, err)
	}
	if err := d.out.Blob(Blob{AID: row.AID, CID: c.String(), Size: row.Size}); err != nil {
		return err
	}
	in, err := d.store.Blobs.Fetch(ctx, d.schema, row)
	if errors.Is(err, blob.ErrLost) {
		d.store.Log.Warn("a file is not in its store: the archive lacks it", "did", row.DID, "cid", c.String(), "object", row.Object)
		return d.out.EndBlob(true)
	}
	if err != nil {
		return fmt.Errorf("file %s of %s: %w", c, row.DID, err)
	}
	defer in.Close()
	if n, err := io.Copy(d, in); err != nil {
		return fmt.Errorf("file %s of %s: %w", c, row.DID, err)
	} else if n != row.Size {
		return fmt.Errorf("file %s of %s: %w: it has %d bytes, not %d", c, row.DID, blob.ErrLost, n, row.Size)
	}
	return d.out.EndBlob(false)
}

package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
)

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

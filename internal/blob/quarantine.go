package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// quarantineNow is how long a takedown's caller waits for the bytes to be moved; the sweep goes on with them.
const quarantineNow = 10 * time.Second

// MoveQuarantined moves a tenant's blobs that were just taken down or restored, so that neither a link given out before
// nor a CDN that reads the store finds them any more. That a blob is in the wrong place is what its row says, so whatever
// does not work here is done by the next sweep, of whichever process.
func (s *Store) MoveQuarantined(ctx context.Context, schema db.Schema) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quarantineNow)
	defer cancel()
	if _, err := s.quarantine(ctx, schema); err != nil {
		s.log.Warn("a blob is taken down or restored, and its bytes are not yet moved: the sweep tries again", "schema", schema, "err", err)
	}
}

// quarantine moves all of them, and says how many. One that cannot be moved does not keep others.
func (s *Store) quarantine(ctx context.Context, schema db.Schema) (int, error) {
	moved := 0
	var failed []error
	after := tenantdb.ListBlobsMisplacedParams{AfterCID: []byte{}, MaxRows: 100}
	for {
		rows, err := s.db.Tenant(schema).Q().ListBlobsMisplaced(ctx, after)
		if err != nil {
			return moved, fmt.Errorf("look for blobs to quarantine: %w", err)
		}
		if len(rows) == 0 {
			return moved, errors.Join(failed...)
		}
		for _, row := range rows {
			after.AfterAID, after.AfterCID = row.AID, row.CID
			ok, err := s.quarantineOne(ctx, schema, tenantdb.ListBlobsInRow(row))
			switch {
			case err != nil && ctx.Err() != nil:
				return moved, errors.Join(append(failed, err)...)
			case errors.Is(err, ErrAway): // said already
			case err != nil && len(failed) < 3:
				failed = append(failed, err)
			case ok:
				moved++
			}
		}
	}
}

// quarantineOne gives a blob an object in the right part of its store, and deletes the one before.
func (s *Store) quarantineOne(ctx context.Context, schema db.Schema, row tenantdb.ListBlobsInRow) (bool, error) {
	at, err := s.placeOf(ctx, schema, row.Store)
	if err != nil {
		return false, err
	}
	moved, err := s.moveOne(ctx, schema, at, at, row.Store, row)
	if err != nil || !moved {
		return false, err
	}
	q := s.db.Tenant(schema).Q()
	// The trash has it; a takedown need not wait for it.
	if at.remove(ctx, []string{row.Object})[row.Object] == nil {
		if err := q.DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{row.Store}, Objects: []string{row.Object}}); err != nil {
			return true, err
		}
	}
	if row.TakedownRef == nil {
		return true, nil
	}
	// Nor what a move between stores left for downloads to end with.
	c, err := cid.Cast(row.CID)
	if err != nil {
		return true, err
	}
	name := newObject(schema, row.DID, c)
	first := name[:strings.LastIndexByte(name, '.')+1]
	p := tenantdb.UpdateBlobTrashHastenedParams{Now: s.now(), Until: s.now().Add(moveGrace), First: first, Behind: first + "~"}
	for _, k := range s.sites(schema) {
		p.Stores = append(p.Stores, k.id)
	}
	return true, q.UpdateBlobTrashHastened(ctx, p)
}

// everything lists a tenant's objects, the quarantine's too.
func (p *place) everything(ctx context.Context, schema db.Schema, each func(found) error) error {
	if err := p.list(ctx, schema.String(), each); err != nil {
		return err
	}
	return p.list(ctx, quarantineFolder+schema.String(), each)
}

// misplaced looks for blobs that are taken down and could be served, or the reverse, and that nobody moves.
func (v *verifier) misplaced(ctx context.Context) error {
	seen := map[string]int{}
	const looks = 5 // a server may be at it
	for look := range looks {
		var rows []tenantdb.ListBlobsMisplacedRow
		after := tenantdb.ListBlobsMisplacedParams{AfterCID: []byte{}, MaxRows: verifyPage}
		for {
			page, err := v.t.Q().ListBlobsMisplaced(ctx, after)
			if err != nil {
				return fmt.Errorf("quarantine: %w", err)
			}
			if len(page) == 0 {
				break
			}
			rows = append(rows, page...)
			after.AfterAID, after.AfterCID = page[len(page)-1].AID, page[len(page)-1].CID
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			seen[r.Object]++
		}
		if look < looks-1 && !v.opts.Repair {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(500 * time.Millisecond):
			}
			continue
		}
		for _, r := range rows {
			if seen[r.Object] <= look {
				continue
			}
			text := "taken down, and where blobs are served from"
			if r.TakedownRef == nil {
				text = "not taken down, and in quarantine"
			}
			repair := func() error { return nil }
			if v.opts.Repair {
				if _, err := v.s.quarantineOne(ctx, v.schema, tenantdb.ListBlobsInRow(r)); err != nil {
					text, repair = text+"; it cannot be moved: "+err.Error(), nil
				}
			}
			err := v.tell(Problem{Kind: "place", AID: r.AID, DID: r.DID, CID: cidText(string(r.CID)), Object: r.Object, Text: text}, repair)
			if err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// RemoveTenant deletes every object of a tenant from every place that it ever used. The tenant must not serve any more,
// and its schema must still be there: it knows the places and their keys. Ended at any moment, it is called again.
func (s *Store) RemoveTenant(ctx context.Context, schema db.Schema, each func(deleted int64)) error {
	if err := s.learn(ctx, schema); err != nil {
		return err
	}
	deleted := int64(0)
	for _, k := range s.sites(schema) {
		p, err := s.placeOf(ctx, schema, k.id)
		if err != nil {
			return err
		}
		var page []string
		flush := func() error {
			for _, err := range p.remove(ctx, page) {
				return fmt.Errorf("delete files of %s: %w", schema, err)
			}
			deleted += int64(len(page))
			page = page[:0]
			if each != nil {
				each(deleted)
			}
			return nil
		}
		err = p.everything(ctx, schema, func(f found) error {
			if page = append(page, f.object); len(page) < verifyPage {
				return nil
			}
			return flush()
		})
		if err == nil && len(page) > 0 {
			err = flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// stores looks for the labels of the stores that blobs are in. When one is not there, the disk is not mounted or this is
// another machine's folder: nothing at all is repaired then.
func (v *verifier) stores(ctx context.Context) error {
	for _, k := range v.blobs.Stores.known(v.schema) {
		n, err := v.t.Q().CountBlobsIn(ctx, k.id)
		if err != nil {
			return fmt.Errorf("count blobs: %w", err)
		}
		at, err := v.blobs.Stores.at(ctx, v.schema, k.id)
		if err == nil {
			err = at.Surely(ctx)
		}
		if !errors.Is(err, ErrAway) {
			continue // what else is wrong is told where it shows
		}
		v.away[k.id] = true
		if n.Blobs == 0 {
			continue // given up after a move
		}
		v.opts.Repair = false
		text := fmt.Sprintf("%d files are in a store that is not here, so nothing is repaired: %v", n.Blobs, err)
		if err := v.tell(Problem{Kind: "away", Text: text}, nil); err != nil {
			return err
		}
	}
	return nil
}

// misplaced looks for blobs that are taken down and could be served, or the reverse, and that nobody moves.
func (v *verifier) misplaced(ctx context.Context) error {
	seen := map[string]int{}
	const looks = 5 // a server may be at it
	for look := range looks {
		rows, err := v.listMisplaced(ctx)
		if err != nil || len(rows) == 0 {
			return err
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
			if err := v.tellMisplaced(ctx, r); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (v *verifier) listMisplaced(ctx context.Context) (rows []tenantdb.ListBlobsMisplacedRow, err error) {
	after := tenantdb.ListBlobsMisplacedParams{AfterCID: []byte{}, MaxRows: verifyPage}
	for {
		page, err := v.t.Q().ListBlobsMisplaced(ctx, after)
		if err != nil {
			return nil, fmt.Errorf("quarantine: %w", err)
		}
		if len(page) == 0 {
			return rows, nil
		}
		rows = append(rows, page...)
		after.AfterAID, after.AfterCID = page[len(page)-1].AID, page[len(page)-1].CID
	}
}

func (v *verifier) tellMisplaced(ctx context.Context, r tenantdb.ListBlobsMisplacedRow) error {
	text := "taken down, and where blobs are served from"
	if r.TakedownRef == nil {
		text = "not taken down, and in quarantine"
	}
	repair := func() error { return nil }
	if v.opts.Repair {
		if _, err := v.blobs.quarantineOne(ctx, v.schema, tenantdb.ListBlobsInRow(r)); err != nil {
			text, repair = text+"; it cannot be moved: "+err.Error(), nil
		}
	}
	return v.tell(Problem{Kind: "place", AID: r.AID, DID: r.DID, CID: cidText(string(r.CID)), Object: r.Object, Text: text}, repair)
}

package blob

import (
	"context"
	"errors"
	"fmt"
)

// places looks for the labels of the places that blobs are in. When one is not there, the disk is not mounted or this is
// another machine's folder: nothing at all is repaired then.
func (v *verifier) places(ctx context.Context) error {
	for _, k := range v.s.sites(v.schema) {
		n, err := v.t.Q().CountBlobsIn(ctx, k.id)
		if err != nil {
			return fmt.Errorf("count blobs: %w", err)
		}
		p, err := v.s.placeOf(ctx, v.schema, k.id)
		if err == nil {
			err = v.s.surely(ctx, p)
		}
		if !errors.Is(err, ErrAway) {
			continue // what else is wrong is told where it shows
		}
		v.away[k.id] = true
		if n.Blobs == 0 {
			continue // given up after a move
		}
		v.opts.Repair = false
		text := fmt.Sprintf("%d files are in a place that is not here, so nothing is repaired: %v", n.Blobs, err)
		if err := v.tell(Problem{Kind: "away", Text: text}, nil); err != nil {
			return err
		}
	}
	return nil
}

package handlers

import (
	"context"
	"io"
)

// getCheckout is getRepo as it was once called.
// spec: lexicon com.atproto.sync.getCheckout
func (m syncMethods) getCheckout(ctx context.Context, v viewerCaller, in *syncGetCheckoutInput) (*syncGetCheckoutOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	return stream(carType, nil, func(w io.Writer) error {
		return m.repos.Export(ctx, v.path(), v.Tenant.Schema, a.AID, 0, w)
	}), nil
}

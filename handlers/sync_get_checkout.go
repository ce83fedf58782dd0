package handlers

import (
	"context"
	"io"

	"github.com/auroralocus/locus/internal/xrpc"
)

// getCheckout is getRepo as it was once called.
// spec: lexicon com.atproto.sync.getCheckout
func (m syncMethods) getCheckout(ctx context.Context, v xrpc.ViewerCaller, in *syncGetCheckoutInput) (*syncGetCheckoutOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	ctx = m.asNew(ctx, v, a)
	return xrpc.Stream(xrpc.CarType, nil, func(w io.Writer) error {
		return m.repos.Export(ctx, v.Path(), v.Tenant.Schema, a.AID, 0, w)
	}), nil
}

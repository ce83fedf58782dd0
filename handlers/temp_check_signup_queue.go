package handlers

import (
	"context"
	"fmt"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
)

// checkSignupQueue says whether the caller's sign-up waits for approval, and behind how many others.
// spec: lexicon com.atproto.temp.checkSignupQueue
func (m tempMethods) checkSignupQueue(ctx context.Context, c xrpc.AccountCaller, _ *tempCheckSignupQueueInput) (*tempCheckSignupQueueOutput, error) {
	out := new(tempCheckSignupQueueOutput)
	place, err := m.db.Tenant(c.Tenant.Schema).Q().GetSignupPlace(ctx, c.AID)
	switch {
	case db.IsNoRows(err):
		out.Body.Activated = true
	case err != nil:
		return nil, fmt.Errorf("place in the queue of %s: %w", c.DID, err)
	default:
		out.Body.PlaceInQueue = new(int64(place))
	}
	return out, nil
}

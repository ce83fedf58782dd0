package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// deleteSession signs out. Doing it twice, or with a token past its time, is no error.
// spec: lexicon com.atproto.server.deleteSession
func (m serverMethods) deleteSession(ctx context.Context, c xrpc.RefreshCaller, _ *serverDeleteSessionInput) (*serverDeleteSessionOutput, error) {
	if err := m.acts.SignOut(ctx, c.Tenant, c.Refresh); err != nil {
		return nil, err
	}
	return &serverDeleteSessionOutput{}, nil
}

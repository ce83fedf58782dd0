package handlers

import "context"

// deleteSession signs out. Doing it twice, or with a token past its time, is no error.
// spec: lexicon com.atproto.server.deleteSession
func (m serverMethods) deleteSession(ctx context.Context, c refreshCaller, _ *serverDeleteSessionInput) (*serverDeleteSessionOutput, error) {
	if err := m.acts.SignOut(ctx, c.Tenant, c.Refresh); err != nil {
		return nil, err
	}
	return &serverDeleteSessionOutput{}, nil
}

package handlers

import (
	"context"
	"time"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// confirmSession has a second factor shown again, and gives an access token that says so.
// spec: lexicon org.auroralocus.server.confirmSession
func (m locusServerMethods) confirmSession(ctx context.Context, c accountCaller, in *locusServerConfirmSessionInput) (*locusServerConfirmSessionOutput, error) {
	out := new(locusServerConfirmSessionOutput)
	err := m.protect(ctx, c, &proof{in.Body.Password, in.Body.Code}, func(ctx context.Context, p protection) error {
		epochs, err := auth.Hold(ctx, p.q, c.DID)
		if err != nil {
			return err
		}
		var until time.Time
		if out.Body.AccessJwt, until, err = m.server.sessions.Confirm(c.Tenant, p.secrets, c.DID, epochs); err == nil {
			out.Body.ExpiresAt = datetime(until)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// confirmed refuses what a session alone may not do where a second factor is on: whoever stole the session could open a
// way in beside the factor, one that stays. It is enough that the caller's token was made for a code, a short while ago.
func (m serverMethods) confirmed(c accountCaller, factors accounts.Factors) error {
	if !factors.Any() || c.ProvenSince(m.now().Add(-auth.ProvenLife)) {
		return nil
	}
	return accounts.ErrFactorOld
}

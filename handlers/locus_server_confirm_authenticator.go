package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// confirmAuthenticator switches an authenticator app on, by a code that it shows. The password was asked for when it was
// begun.
// spec: lexicon org.auroralocus.server.confirmAuthenticator
func (m locusServerMethods) confirmAuthenticator(ctx context.Context, c xrpc.AccountCaller, in *locusServerConfirmAuthenticatorInput) (*locusServerConfirmAuthenticatorOutput, error) {
	backup, err := m.acts.ConfirmOwnAuthenticator(ctx, c.Tenant, owner(c), in.Body.Code)
	if err != nil {
		return nil, err
	}
	out := new(locusServerConfirmAuthenticatorOutput)
	out.Body.BackupCodes = backup
	return out, nil
}

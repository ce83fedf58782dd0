package handlers

import (
	"context"
	"encoding/base64"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/passkey"
)

// deletePasskey takes a passkey from the account.
// spec: lexicon org.auroralocus.server.deletePasskey
func (m locusServerMethods) deletePasskey(ctx context.Context, c xrpc.AccountCaller, in *locusServerDeletePasskeyInput) (*locusServerDeletePasskeyOutput, error) {
	id, err := base64.RawURLEncoding.DecodeString(in.Body.ID)
	if err != nil {
		return nil, passkey.ErrUnknown
	}
	if err := m.acts.RemovePasskey(ctx, c.Tenant, owner(c), act.Proof{Password: in.Body.Password, Code: in.Body.Code}, id); err != nil {
		return nil, err
	}
	return new(locusServerDeletePasskeyOutput), nil
}

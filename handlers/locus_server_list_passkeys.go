package handlers

import (
	"context"
	"encoding/base64"

	"github.com/auroralocus/locus/internal/xrpc"
)

// listPasskeys tells which passkeys the account has.
// spec: lexicon org.auroralocus.server.listPasskeys
func (m locusServerMethods) listPasskeys(ctx context.Context, c xrpc.AccountCaller, _ *locusServerListPasskeysInput) (*locusServerListPasskeysOutput, error) {
	keys, err := m.acts.Passkeys(ctx, c.Tenant, owner(c))
	if err != nil {
		return nil, err
	}
	out := &locusServerListPasskeysOutput{Body: locusServerListPasskeysOutputBody{Passkeys: make([]locusServerListPasskeysPasskey, len(keys))}}
	for i, k := range keys {
		out.Body.Passkeys[i] = locusServerListPasskeysPasskey{
			ID: base64.RawURLEncoding.EncodeToString(k.ID), Name: k.Name, Synced: k.Synced,
			CreatedAt: datetime(k.CreatedAt), LastUsedAt: datetimeOf(k.LastUsedAt), WarnedAt: datetimeOf(k.WarnedAt),
		}
	}
	return out, nil
}

package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// requestPlcOperationSignature mails the token that signPlcOperation wants. A did:web has nothing to sign.
// spec: lexicon com.atproto.identity.requestPlcOperationSignature
func (m identityMethods) requestPlcOperationSignature(ctx context.Context, c xrpc.AccountCaller, _ *identityRequestPlcOperationSignatureInput) (*identityRequestPlcOperationSignatureOutput, error) {
	if err := m.acts.RequestOperationSignature(ctx, c.Tenant, owner(c)); err != nil {
		return nil, err
	}
	return &identityRequestPlcOperationSignatureOutput{}, nil
}

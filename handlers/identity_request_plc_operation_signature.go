package handlers

import "context"

// requestPlcOperationSignature mails the token that signPlcOperation wants. A did:web has nothing to sign.
// spec: lexicon com.atproto.identity.requestPlcOperationSignature
func (m identityMethods) requestPlcOperationSignature(ctx context.Context, c accountCaller, _ *identityRequestPlcOperationSignatureInput) (*identityRequestPlcOperationSignatureOutput, error) {
	if err := m.acts.RequestOperationSignature(ctx, c.Tenant, owner(c)); err != nil {
		return nil, err
	}
	return &identityRequestPlcOperationSignatureOutput{}, nil
}

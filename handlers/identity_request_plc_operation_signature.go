package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
)

// requestPlcOperationSignature mails the token that signPlcOperation wants.
// spec: lexicon com.atproto.identity.requestPlcOperationSignature
func (m identityMethods) requestPlcOperationSignature(ctx context.Context, c accountCaller, _ *identityRequestPlcOperationSignatureInput) (*identityRequestPlcOperationSignatureOutput, error) {
	if err := m.mail.toCaller(ctx, c, accounts.TokenPLCOperation); err != nil {
		return nil, err
	}
	return &identityRequestPlcOperationSignatureOutput{}, nil
}

package handlers

import (
	"context"
	"strings"

	accounts "github.com/auroralocus/locus/internal/account"
)

// requestPlcOperationSignature mails the token that signPlcOperation wants. A did:web has nothing to sign.
// spec: lexicon com.atproto.identity.requestPlcOperationSignature
func (m identityMethods) requestPlcOperationSignature(ctx context.Context, c accountCaller, _ *identityRequestPlcOperationSignatureInput) (*identityRequestPlcOperationSignatureOutput, error) {
	if !strings.HasPrefix(c.DID, "did:plc:") {
		return nil, invalid("%s has no PLC operations: only a did:plc has", c.DID)
	}
	if err := m.mail.toCaller(ctx, c, accounts.TokenPLCOperation); err != nil {
		return nil, err
	}
	return &identityRequestPlcOperationSignatureOutput{}, nil
}

package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// submitPlcOperation sends a signed change of the caller's DID to its directory, if the account goes on working with
// it here.
// spec: lexicon com.atproto.identity.submitPlcOperation
func (m identityMethods) submitPlcOperation(ctx context.Context, c xrpc.AccountCaller, in *identitySubmitPlcOperationInput) (*identitySubmitPlcOperationOutput, error) {
	if err := m.acts.SubmitOperation(ctx, c.Tenant, owner(c), in.Body.Operation); err != nil {
		return nil, err
	}
	return &identitySubmitPlcOperationOutput{}, nil
}

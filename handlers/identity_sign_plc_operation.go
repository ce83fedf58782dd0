package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/identity"
)

// signPlcOperation signs a change of the caller's DID with the tenant's rotation key, by a mailed token. Nothing is
// sent anywhere: the caller submits it, here or, when moving away, at the new server.
// spec: lexicon com.atproto.identity.signPlcOperation
func (m identityMethods) signPlcOperation(ctx context.Context, c xrpc.AccountCaller, in *identitySignPlcOperationInput) (*identitySignPlcOperationOutput, error) {
	if in.Body.Token == "" {
		return nil, xrpc.Invalid("email confirmation token required to sign PLC operations")
	}
	change, err := plcChange(&in.Body)
	if err != nil {
		return nil, err
	}
	signed, err := m.acts.SignOperation(ctx, c.Tenant, owner(c), in.Body.Token, change)
	if err != nil {
		return nil, err
	}
	return &identitySignPlcOperationOutput{Body: identitySignPlcOperationOutputBody{Operation: xrpc.RawJSON(signed)}}, nil
}

// plcChange is what the input says of the new operation; what it leaves out stays as it was.
func plcChange(in *identitySignPlcOperationInputBody) (func(*identity.Operation), error) {
	var methods map[string]string
	var services map[string]plcService
	if in.VerificationMethods != nil && json.Unmarshal(in.VerificationMethods, &methods) != nil {
		return nil, xrpc.Invalid("verificationMethods must be an object of did:key strings")
	}
	if in.Services != nil && json.Unmarshal(in.Services, &services) != nil {
		return nil, xrpc.Invalid("services must be an object of services with type and endpoint")
	}
	return func(op *identity.Operation) {
		if in.RotationKeys != nil {
			op.RotationKeys = in.RotationKeys
		}
		if in.AlsoKnownAs != nil {
			op.AlsoKnownAs = in.AlsoKnownAs
		}
		if in.VerificationMethods != nil {
			op.VerificationMethods = methods
		}
		if in.Services != nil {
			op.Services = make(map[string]identity.OperationService, len(services))
			for name, s := range services {
				op.Services[name] = identity.OperationService{Type: s.Type, Endpoint: s.Endpoint}
			}
		}
	}, nil
}

package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// reserveSigningKey makes the key of an account that is to move here. Asked again for the same DID it gives the same
// key, until it expires. Anybody may ask, so there are only so many, and who asks for many loses the oldest.
// spec: lexicon com.atproto.server.reserveSigningKey
func (m serverMethods) reserveSigningKey(ctx context.Context, v xrpc.Visitor, in *serverReserveSigningKeyInput) (*serverReserveSigningKeyOutput, error) {
	public, err := m.acts.ReserveSigningKey(ctx, v.Tenant, stranger(v), string(in.Body.DID))
	if err != nil {
		return nil, err
	}
	return &serverReserveSigningKeyOutput{Body: serverReserveSigningKeyOutputBody{SigningKey: public}}, nil
}

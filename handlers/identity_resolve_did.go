package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// resolveDid gives the document of any DID.
// spec: lexicon com.atproto.identity.resolveDid
func (m identityMethods) resolveDid(ctx context.Context, v xrpc.Visitor, in *identityResolveDidInput) (*identityResolveDidOutput, error) {
	doc, err := m.documents.ResolveWhole(ctx, v.Asker(), string(in.DID))
	if err != nil {
		return nil, err
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return &identityResolveDidOutput{Body: identityResolveDidOutputBody{DIDDoc: text}}, nil
}

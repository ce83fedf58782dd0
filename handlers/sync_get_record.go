package handlers

import (
	"context"
	"io"
)

// getRecord proves what a record is, or that there is none.
// spec: lexicon com.atproto.sync.getRecord
func (m syncMethods) getRecord(ctx context.Context, v viewerCaller, in *syncGetRecordInput) (*syncGetRecordOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	return stream(carType, nil, func(w io.Writer) error {
		return m.repos.Proof(ctx, v.Tenant.Schema, a.AID, string(in.Collection)+"/"+string(in.Rkey), w)
	}), nil
}

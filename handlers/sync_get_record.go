package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/repo/repodb"
)

// getRecord proves what a record is, or that there is none.
// spec: lexicon com.atproto.sync.getRecord
func (m syncMethods) getRecord(ctx context.Context, v xrpc.ViewerCaller, in *syncGetRecordInput) (*syncGetRecordOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	proof, err := m.repos.Proof(m.asNew(ctx, v, a), v.Tenant.Schema, a.AID, string(in.Collection)+"/"+string(in.Rkey))
	if err != nil {
		return nil, err
	}
	return fewBlocks(proof), nil
}

// fewBlocks answers with a few blocks, which are in memory.
func fewBlocks(a *repodb.Archive) *xrpc.StreamOut {
	return xrpc.Stream(xrpc.CarType, nil, a.Write).Holding(a.Size())
}

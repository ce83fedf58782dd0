package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// getLatestCommit names the newest commit.
// spec: lexicon com.atproto.sync.getLatestCommit
func (m syncMethods) getLatestCommit(ctx context.Context, v xrpc.ViewerCaller, in *syncGetLatestCommitInput) (*syncGetLatestCommitOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	st, err := m.repos.Head(ctx, v.Tenant.Schema, a.AID)
	if err != nil {
		return nil, err
	}
	out := new(syncGetLatestCommitOutput)
	out.Body.CID, out.Body.Rev = xrpc.CID(st.Head.CID.String()), xrpc.TID(st.Head.Rev.String())
	return out, nil
}

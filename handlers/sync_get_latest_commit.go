package handlers

import "context"

// getLatestCommit names the newest commit.
// spec: lexicon com.atproto.sync.getLatestCommit
func (m syncMethods) getLatestCommit(ctx context.Context, v viewerCaller, in *syncGetLatestCommitInput) (*syncGetLatestCommitOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	st, err := m.repos.Head(ctx, v.Tenant.Schema, a.AID)
	if err != nil {
		return nil, err
	}
	out := new(syncGetLatestCommitOutput)
	out.Body.CID, out.Body.Rev = CID(st.Head.CID.String()), TID(st.Head.Rev.String())
	return out, nil
}

package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"
)

// getHead is getLatestCommit as it was once called.
// spec: lexicon com.atproto.sync.getHead
func (m syncMethods) getHead(ctx context.Context, v xrpc.ViewerCaller, in *syncGetHeadInput) (*syncGetHeadOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if e := (*xrpc.Error)(nil); errors.As(err, &e) && e.Name == "RepoNotFound" {
		return nil, xrpc.Refuse(http.StatusBadRequest, "HeadNotFound", "Could not find root for DID: %s", in.DID)
	}
	if err != nil {
		return nil, err
	}
	st, err := m.repos.Head(ctx, v.Tenant.Schema, a.AID)
	if err != nil {
		return nil, err
	}
	out := new(syncGetHeadOutput)
	out.Body.Root = xrpc.CID(st.Head.CID.String())
	return out, nil
}

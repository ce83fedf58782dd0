package handlers

import (
	"context"
	"io"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/repo"
)

// getRepo streams the repository as an archive: the commit first, then nodes and records in the order of the tree. With
// since, only the blocks that are newer than that revision.
// spec: lexicon com.atproto.sync.getRepo
func (m syncMethods) getRepo(ctx context.Context, v xrpc.ViewerCaller, in *syncGetRepoInput) (*syncGetRepoOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	var since repo.TID
	if in.Since != "" {
		if since, err = repo.ParseTID(string(in.Since)); err != nil {
			return nil, xrpc.Invalid("since must be a TID")
		}
	}
	ctx = m.asNew(ctx, v, a)
	return xrpc.Stream(xrpc.CarType, nil, func(w io.Writer) error {
		return m.repos.Export(ctx, v.Path(), v.Tenant.Schema, a.AID, since, w)
	}), nil
}

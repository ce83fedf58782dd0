package handlers

import (
	"context"
	"io"

	"github.com/auroralocus/locus/repo"
)

// getRepo streams the repository as an archive: the commit first, then nodes and records in the order of the tree. With
// since, only the blocks that are newer than that revision.
// spec: lexicon com.atproto.sync.getRepo
func (m syncMethods) getRepo(ctx context.Context, v viewerCaller, in *syncGetRepoInput) (*syncGetRepoOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	var since repo.TID
	if in.Since != "" {
		if since, err = repo.ParseTID(string(in.Since)); err != nil {
			return nil, invalid("since must be a TID")
		}
	}
	return stream(carType, nil, func(w io.Writer) error {
		return m.repos.Export(ctx, v.path(), v.Tenant.Schema, a.AID, since, w)
	}), nil
}

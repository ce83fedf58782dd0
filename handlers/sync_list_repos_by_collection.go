package handlers

import (
	"context"
	"strconv"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db/tenantdb"
)

// listReposByCollection lists the active repositories that have a record in a collection, in the order of listRepos.
// spec: lexicon com.atproto.sync.listReposByCollection
func (m syncMethods) listReposByCollection(ctx context.Context, v xrpc.Visitor, in *syncListReposByCollectionInput) (*syncListReposByCollectionOutput, error) {
	var after int64
	if in.Cursor != "" {
		var err error
		if after, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || after < 0 {
			return nil, xrpc.Invalid("Malformed cursor")
		}
	}
	rows, err := m.hosts.db.Tenant(v.Tenant.Schema).Q().ListActorsWithCollection(lately(ctx, m.hosts.db, v, 0), tenantdb.ListActorsWithCollectionParams{
		AfterAID: after, FromPath: string(in.Collection) + "/", UptoPath: string(in.Collection) + "0", MaxRows: int32(in.Limit),
	})
	if err != nil {
		return nil, err
	}
	out := new(syncListReposByCollectionOutput)
	out.Body.Repos = make([]syncListReposByCollectionRepo, len(rows))
	for i := range rows {
		out.Body.Repos[i].DID = xrpc.DID(rows[i].DID)
	}
	if n := len(rows); n == int(in.Limit) {
		out.Body.Cursor = strconv.FormatInt(rows[n-1].AID, 10)
	}
	return out, nil
}

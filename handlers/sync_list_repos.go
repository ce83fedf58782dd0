package handlers

import (
	"context"
	"strconv"

	"github.com/auroralocus/locus/internal/xrpc"
)

// listRepos lists all repositories in the order in which their accounts were made, inactive ones too: relays depend on
// that. The cursor is absent on a short page.
// spec: lexicon com.atproto.sync.listRepos
func (m syncMethods) listRepos(ctx context.Context, v xrpc.Visitor, in *syncListReposInput) (*syncListReposOutput, error) {
	var after int64
	if in.Cursor != "" {
		var err error
		if after, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || after < 0 {
			return nil, xrpc.Invalid("Malformed cursor")
		}
	}
	list, err := m.repos.ListRepos(lately(ctx, m.hosts.db, v, 0), v.Tenant.Schema, after, int(in.Limit))
	if err != nil {
		return nil, err
	}
	out := new(syncListReposOutput)
	out.Body.Repos = make([]syncListReposRepo, len(list))
	for i, st := range list {
		status := statusOf(v.Tenant, st.Takendown, st.Deactivated)
		out.Body.Repos[i] = syncListReposRepo{
			DID: xrpc.DID(st.Head.DID), Head: xrpc.CID(st.Head.CID.String()), Rev: xrpc.TID(st.Head.Rev.String()), Active: new(status == ""), Status: status,
		}
	}
	if n := len(list); n == int(in.Limit) {
		out.Body.Cursor = strconv.FormatInt(list[n-1].AID, 10)
	}
	return out, nil
}

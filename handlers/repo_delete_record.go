package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// deleteRecord removes a record. One that is not there is no error, and then no swap is looked at.
// spec: lexicon com.atproto.repo.deleteRecord
func (m repoMethods) deleteRecord(ctx context.Context, c xrpc.AccountCaller, in *repoDeleteRecordInput) (*repoDeleteRecordOutput, error) {
	commitSwap, err := m.swapOption(c.Tenant, in.Body.SwapCommit)
	if err != nil {
		return nil, err
	}
	var recordSwap cid.Cid
	if in.Body.SwapRecord != "" {
		if recordSwap, err = cid.Decode(string(in.Body.SwapRecord)); err != nil {
			return nil, xrpc.Invalid("swapRecord is not a CID")
		}
	}
	path, err := recordPath(in.Body.Collection, in.Body.Rkey)
	if err != nil {
		return nil, err
	}
	result, err := m.repos.Write(ctx, c.Tenant.Schema, c.AID, repodb.Options{}, func(v *repodb.View) ([]repo.Write, error) {
		current, exists, err := v.Get(path.String())
		if err != nil || !exists {
			return nil, err
		}
		if want := commitSwap.SwapCommit; want != nil && !want.Equals(v.Head().CID) {
			return nil, repodb.ErrSwapCommit
		}
		if recordSwap.Defined() && !current.Equals(recordSwap) {
			return nil, invalidSwap(current)
		}
		return []repo.Write{path.Delete()}, nil
	})
	if err != nil {
		return nil, err
	}
	out := new(repoDeleteRecordOutput)
	if result.Changed {
		out.Body.Commit = commitMeta(result)
	}
	return out, nil
}

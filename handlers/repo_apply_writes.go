package handlers

import (
	"context"
	"slices"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// applyWrites makes, replaces and removes records, all in one commit or none. Unlike the single methods it removes no
// duplicates, and an update or delete of what is not there is an error.
// spec: lexicon com.atproto.repo.applyWrites
func (m repoMethods) applyWrites(ctx context.Context, c xrpc.AccountCaller, in *repoApplyWritesInput) (*repoApplyWritesOutput, error) {
	if len(in.Body.Writes) > repo.MaxOps {
		return nil, xrpc.Invalid("Too many writes. Max: %d", repo.MaxOps)
	}
	if slices.ContainsFunc(in.Body.Writes, func(w repoApplyWritesWrite) bool { return w.Delete == nil }) {
		if err := m.usage.MayAdd(c.Tenant); err != nil {
			return nil, err
		}
	}
	opts, err := m.swapOption(c.Tenant, in.Body.SwapCommit)
	if err != nil {
		return nil, err
	}
	writes := make([]repo.Write, len(in.Body.Writes))
	results := make([]repoApplyWritesResult, len(in.Body.Writes))
	for i := range in.Body.Writes {
		if writes[i], results[i], err = m.prepareWrite(ctx, c, &in.Body.Writes[i], in.Body.Validate); err != nil {
			return nil, err
		}
	}
	result, err := m.repos.Write(ctx, c.Tenant.Schema, c.AID, opts, func(*repodb.View) ([]repo.Write, error) {
		return writes, nil
	})
	if err != nil {
		return nil, err
	}
	out := new(repoApplyWritesOutput)
	out.Body.Results = results
	if result.Changed {
		out.Body.Commit = commitMeta(result)
	}
	return out, nil
}

// prepareWrite turns one element of the list into a write and the result that it will have.
func (m repoMethods) prepareWrite(ctx context.Context, c xrpc.AccountCaller, w *repoApplyWritesWrite, validate *bool) (repo.Write, repoApplyWritesResult, error) {
	switch {
	case w.Create != nil:
		rkey := w.Create.Rkey
		if rkey == "" {
			rkey = xrpc.RecordKey(m.keys.Next().String())
		}
		p, err := m.prepare(c.Tenant, w.Create.Collection, rkey, w.Create.Value, validate, nil)
		return p.Write(repo.ActionCreate),
			repoApplyWritesResult{CreateResult: &repoApplyWritesCreateResult{URI: recordURI(c.DID, p.Path()), CID: xrpc.CID(p.CID().String()), ValidationStatus: p.status}}, err
	case w.Update != nil:
		p, err := m.prepare(c.Tenant, w.Update.Collection, w.Update.Rkey, w.Update.Value, validate, m.predecessor(ctx, c))
		return p.Write(repo.ActionUpdate),
			repoApplyWritesResult{UpdateResult: &repoApplyWritesUpdateResult{URI: recordURI(c.DID, p.Path()), CID: xrpc.CID(p.CID().String()), ValidationStatus: p.status}}, err
	case w.Delete != nil:
		path, err := recordPath(w.Delete.Collection, w.Delete.Rkey)
		return path.Delete(), repoApplyWritesResult{DeleteResult: &repoApplyWritesDeleteResult{}}, err
	}
	return repo.Write{}, repoApplyWritesResult{}, xrpc.Invalid("a write must be a create, an update or a delete")
}

package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// putRecord makes or replaces a record. What is there already, byte for byte, is left alone: no commit, no event, and
// no swap is looked at. A record that moved here in a form that new ones may not have can be written back: see predecessor.
// spec: lexicon com.atproto.repo.putRecord
func (m repoMethods) putRecord(ctx context.Context, c xrpc.AccountCaller, in *repoPutRecordInput) (*repoPutRecordOutput, error) {
	if err := m.usage.MayAdd(c.Tenant); err != nil {
		return nil, err
	}
	record, err := m.prepare(c.Tenant, in.Body.Collection, in.Body.Rkey, in.Body.Record, in.Body.Validate, m.predecessor(ctx, c))
	if err != nil {
		return nil, err
	}
	commitSwap, err := m.swapOption(c.Tenant, in.Body.SwapCommit)
	if err != nil {
		return nil, err
	}
	var recordSwap cid.Cid // undefined: there must be none
	if in.Body.SwapRecord.Present && !in.Body.SwapRecord.Null {
		if recordSwap, err = cid.Decode(string(in.Body.SwapRecord.Value)); err != nil {
			return nil, xrpc.Invalid("swapRecord is not a CID")
		}
	}
	// The swaps are compared here and not by the store, which would compare before a no-op is seen.
	result, err := m.repos.Write(ctx, c.Tenant.Schema, c.AID, repodb.Options{Quota: m.quota(c.Tenant)}, func(v *repodb.View) ([]repo.Write, error) {
		current, exists, err := v.Get(record.Path())
		if err != nil {
			return nil, err
		}
		if exists && current.Equals(record.CID()) {
			return nil, nil
		}
		if want := commitSwap.SwapCommit; want != nil && !want.Equals(v.Head().CID) {
			return nil, repodb.ErrSwapCommit
		}
		if in.Body.SwapRecord.Present && (exists != recordSwap.Defined() || exists && !current.Equals(recordSwap)) {
			return nil, invalidSwap(current)
		}
		action := repo.ActionCreate
		if exists {
			action = repo.ActionUpdate
		}
		return []repo.Write{record.Write(action)}, nil
	})
	if err != nil {
		return nil, err
	}
	out := new(repoPutRecordOutput)
	out.Body.URI, out.Body.CID, out.Body.ValidationStatus = recordURI(c.DID, record.Path()), xrpc.CID(record.CID().String()), record.status
	if result.Changed {
		out.Body.Commit = commitMeta(result)
	}
	return out, nil
}

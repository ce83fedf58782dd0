package handlers

import (
	"context"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// createRecord makes a new record, under a key of its own unless one is given. A follow, block, like or repost takes the
// place of an older one with the same subject, in the same commit: a client that retries does not like twice.
// spec: lexicon com.atproto.repo.createRecord
func (m repoMethods) createRecord(ctx context.Context, c xrpc.AccountCaller, in *repoCreateRecordInput) (*repoCreateRecordOutput, error) {
	if err := m.usage.MayAdd(c.Tenant); err != nil {
		return nil, err
	}
	opts, err := m.swapOption(c.Tenant, in.Body.SwapCommit)
	if err != nil {
		return nil, err
	}
	rkey := in.Body.Rkey
	if rkey == "" {
		rkey = xrpc.RecordKey(m.keys.Next().String())
	}
	record, err := m.prepare(c.Tenant, in.Body.Collection, rkey, in.Body.Record, in.Body.Validate, nil)
	if err != nil {
		return nil, err
	}
	dedupe := validateRule(c.Tenant, in.Body.Validate) != tenant.ValidateOff
	result, err := m.repos.Write(ctx, c.Tenant.Schema, c.AID, opts, func(v *repodb.View) ([]repo.Write, error) {
		if _, exists, err := v.Get(record.Path()); err != nil {
			return nil, err
		} else if exists {
			return nil, xrpc.Refuse(http.StatusBadRequest, "RecordAlreadyExists", "There is a record already: %s", recordURI(c.DID, record.Path()))
		}
		writes := []repo.Write{record.Write(repo.ActionCreate)}
		if !dedupe {
			return writes, nil
		}
		older, err := v.Duplicates(record.Path(), record.Block())
		return append(older, writes...), err
	})
	if err != nil {
		return nil, err
	}
	out := new(repoCreateRecordOutput)
	out.Body.URI, out.Body.CID = recordURI(c.DID, record.Path()), xrpc.CID(record.CID().String())
	out.Body.Commit, out.Body.ValidationStatus = commitMeta(result), record.status
	return out, nil
}

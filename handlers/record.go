package handlers

import (
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

// preparedRecord is a record that may be written as far as can be said without looking at the repository.
type preparedRecord struct {
	repo.Record
	status string // validationStatus of the answer; "" when the schema was not asked
}

// prepare checks a record's key and value and makes its block. What holds for every record (data model, $type, key
// syntax) is checked whatever validate says; the lexicon only unless it is false, and must be known when it is true.
// old is the record that this one may replace, nil of one that is made; what it says already may be said again.
func (m repoMethods) prepare(t *tenant.Tenant, collection xrpc.NSID, rkey xrpc.RecordKey, text xrpc.RawJSON, validate *bool, old *predecessor) (preparedRecord, error) {
	var p preparedRecord
	path, err := recordPath(collection, rkey)
	if err != nil {
		return p, err
	}
	block, err := dagcbor.FromJSON(text, dagcbor.Limits{Type: string(collection)})
	if err != nil && old != nil {
		block, err = old.excuse(path.String(), text, string(collection), err)
	}
	var mismatch *dagcbor.TypeError
	switch {
	case errors.As(err, &mismatch):
		return p, xrpc.Invalid("Invalid $type: expected %s, got %s", mismatch.Want, mismatch.Got)
	case errors.Is(err, dagcbor.ErrLegacyBlob):
		return p, xrpc.Invalid("Legacy blobs are not allowed")
	case errors.As(err, new(*dagcbor.Error)):
		return p, xrpc.Invalid("Invalid record: %s", xrpc.Plain(err, nil))
	case err != nil:
		return p, err
	}
	p.Record = repo.NewRecord(path, block)

	want := validateRule(t, validate)
	if want == tenant.ValidateOff {
		return p, nil
	}
	check := func(block []byte) (lexicon.Status, error) {
		return m.lexicons.Validate(string(collection), string(rkey), block, lexicon.Mode(want == tenant.ValidateRequired))
	}
	status, err := check(block)
	if err != nil && old != nil && validate == nil {
		status, err = old.excuseInvalid(path.String(), check, err)
	}
	if err != nil {
		return p, err
	}
	p.status = string(status)
	return p, nil
}

func recordPath(collection xrpc.NSID, rkey xrpc.RecordKey) (repo.Path, error) {
	path, err := repo.NewPath(string(collection), string(rkey))
	if err != nil {
		return path, xrpc.Invalid("Invalid record key or collection")
	}
	return path, nil
}

// validateRule is what the caller says, or else the tenant's setting.
func validateRule(t *tenant.Tenant, validate *bool) string {
	switch {
	case validate == nil:
		return t.Settings.RecordValidation
	case *validate:
		return tenant.ValidateRequired
	}
	return tenant.ValidateOff
}

// swapOption reads swapCommit, beside the tenant's quotas.
func (m repoMethods) swapOption(t *tenant.Tenant, c xrpc.CID) (repodb.Options, error) {
	opts := repodb.Options{Quota: m.quota(t)}
	if c == "" {
		return opts, nil
	}
	want, err := cid.Decode(string(c))
	if err != nil {
		return opts, xrpc.Invalid("swapCommit is not a CID")
	}
	opts.SwapCommit = &want
	return opts, nil
}

// recordQuota is what the tenant's settings say of records.
func recordQuota(t *tenant.Tenant) repodb.Quota {
	set := &t.Settings
	return repodb.Quota{
		Account: repodb.Sum{Records: set.RecordAccountCount, Bytes: set.RecordAccountBytes},
		Tenant:  repodb.Sum{Records: set.RecordTenantCount, Bytes: set.RecordTenantBytes},
	}
}

// invalidSwap is the answer to a swapRecord or swapCommit that does not hold.
func invalidSwap(current cid.Cid) *xrpc.Error {
	at := "null"
	if current.Defined() {
		at = current.String()
	}
	return xrpc.Refuse(http.StatusBadRequest, "InvalidSwap", "Record was at %s", at)
}

func recordURI(did, path string) xrpc.AtURI { return xrpc.AtURI("at://" + did + "/" + path) }

func commitMeta(r repodb.Result) *repoDefsCommitMeta {
	return &repoDefsCommitMeta{CID: xrpc.CID(r.CID.String()), Rev: xrpc.TID(r.Rev.String())}
}

package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

// getSubjectStatus says whether an account, record or blob is taken down, and an account deactivated.
// spec: lexicon com.atproto.admin.getSubjectStatus
func (m adminMethods) getSubjectStatus(ctx context.Context, c xrpc.OperatorCaller, in *adminGetSubjectStatusInput) (*adminGetSubjectStatusOutput, error) {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	out := new(adminGetSubjectStatusOutput)
	switch {
	case in.Blob != "":
		if in.DID == "" {
			return nil, xrpc.Invalid("Must provide a did to request blob state")
		}
		raw, err := act.BlobCID(string(in.Blob))
		if err != nil {
			return nil, err
		}
		state, err := account.StateOf(ctx, q, string(in.DID))
		if err != nil {
			return nil, noSubject(err)
		}
		t, err := account.BlobTakedown(ctx, q, state.AID, raw.Bytes())
		if err != nil {
			return nil, noSubject(err)
		}
		out.Body.Subject.RepoBlobRef = &adminDefsRepoBlobRef{DID: in.DID, CID: in.Blob}
		out.Body.Takedown = statusAttr(t)
	case in.URI != "":
		did, path, err := act.RecordSubject(string(in.URI))
		if err != nil {
			return nil, err
		}
		state, err := account.StateOf(ctx, q, did)
		if err != nil {
			return nil, noSubject(err)
		}
		t, raw, err := account.RecordTakedown(ctx, q, state.AID, path)
		if err != nil {
			return nil, noSubject(err)
		}
		id, err := cid.Cast(raw)
		if err != nil {
			return nil, err
		}
		out.Body.Subject.RepoStrongRef = &repoStrongRef{URI: in.URI, CID: xrpc.CID(id.String())}
		out.Body.Takedown = statusAttr(t)
	case in.DID != "":
		state, err := account.StateOf(ctx, q, string(in.DID))
		if err != nil {
			return nil, noSubject(err)
		}
		out.Body.Subject.RepoRef = &adminDefsRepoRef{DID: in.DID}
		out.Body.Takedown = statusAttr(state.Takedown)
		out.Body.Deactivated = &adminDefsStatusAttr{Applied: state.Deactivated}
	default:
		return nil, xrpc.Invalid("No provided subject")
	}
	return out, nil
}

func statusAttr(t account.Takedown) *adminDefsStatusAttr {
	return &adminDefsStatusAttr{Applied: t.Applied, Ref: t.Ref}
}

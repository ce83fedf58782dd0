package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// describeRepo tells whose repository it is and what collections it has.
// spec: lexicon com.atproto.repo.describeRepo
func (m repoMethods) describeRepo(ctx context.Context, v xrpc.Visitor, in *repoDescribeRepoInput) (*repoDescribeRepoOutput, error) {
	a, err := m.actors.ByName(ctx, v.Tenant.Schema, string(in.Repo), account.Fresh)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return nil, xrpc.Refuse(http.StatusBadRequest, "RepoNotFound", "Could not find repo: %s", in.Repo)
	case err != nil:
		return nil, err
	case a.TakenDown:
		return nil, xrpc.Refuse(http.StatusBadRequest, "RepoTakendown", "Repo has been takendown: %s", in.Repo)
	case a.Deactivated:
		return nil, xrpc.Refuse(http.StatusBadRequest, "RepoDeactivated", "Repo has been deactivated: %s", in.Repo)
	}
	doc, err := m.documents.ResolveWhole(ctx, v.Asker(), a.DID)
	var refused *xrpc.Error
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err != nil {
		m.log.WarnContext(ctx, "describeRepo: resolve DID", "did", a.DID, "err", err)
		return nil, xrpc.Invalid("Could not resolve DID: %s", a.DID)
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	collections, err := m.repos.Collections(lately(ctx, m.db, v, a.AID), v.Tenant.Schema, a.AID)
	if err != nil {
		return nil, err
	}
	size := len(text)
	for _, c := range collections {
		size += len(c) + 24 // as text and as JSON
	}
	if err := v.Grow(int64(2 * size)); err != nil {
		return nil, err
	}
	out := new(repoDescribeRepoOutput)
	out.Body.DID, out.Body.Handle, out.Body.DIDDoc = xrpc.DID(a.DID), shownHandle(a.Handle), text
	out.Body.HandleIsCorrect = a.Handle != "" && doc.Handle() == a.Handle
	out.Body.Collections = make([]xrpc.NSID, len(collections))
	for i, c := range collections {
		out.Body.Collections[i] = xrpc.NSID(c)
	}
	return out, nil
}

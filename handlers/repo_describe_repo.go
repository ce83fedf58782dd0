package handlers

import (
	"context"
	"errors"
	"net/http"

	accounts "github.com/auroralocus/locus/internal/account"
)

// describeRepo tells whose repository it is and what collections it has.
// spec: lexicon com.atproto.repo.describeRepo
func (m repoMethods) describeRepo(ctx context.Context, v visitor, in *repoDescribeRepoInput) (*repoDescribeRepoOutput, error) {
	a, err := m.actors.ByName(ctx, v.Tenant.Schema, string(in.Repo), accounts.Fresh)
	switch {
	case errors.Is(err, accounts.ErrNotFound):
		return nil, refuse(http.StatusBadRequest, "RepoNotFound", "Could not find repo: %s", in.Repo)
	case err != nil:
		return nil, err
	case a.TakenDown:
		return nil, refuse(http.StatusBadRequest, "RepoTakendown", "Repo has been takendown: %s", in.Repo)
	case a.Deactivated:
		return nil, refuse(http.StatusBadRequest, "RepoDeactivated", "Repo has been deactivated: %s", in.Repo)
	}
	doc, err := m.documents.ResolveWhole(ctx, v.asker(), a.DID)
	var refused *Error
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err != nil {
		m.log.Warn("describeRepo: resolve DID", "did", a.DID, "err", err)
		return nil, invalid("Could not resolve DID: %s", a.DID)
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	collections, err := m.repos.Collections(ctx, v.Tenant.Schema, a.AID)
	if err != nil {
		return nil, err
	}
	size := len(text)
	for _, c := range collections {
		size += len(c) + 24 // as text and as JSON
	}
	if err := v.more(int64(2 * size)); err != nil {
		return nil, err
	}
	out := new(repoDescribeRepoOutput)
	out.Body.DID, out.Body.Handle, out.Body.DIDDoc = DID(a.DID), shownHandle(a.Handle), text
	out.Body.HandleIsCorrect = a.Handle != "" && doc.Handle() == a.Handle
	out.Body.Collections = make([]NSID, len(collections))
	for i, c := range collections {
		out.Body.Collections[i] = NSID(c)
	}
	return out, nil
}

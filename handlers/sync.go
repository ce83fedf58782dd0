package handlers

import (
	"context"
	"errors"
	"net/http"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// syncMethods are com.atproto.sync.*: repositories as others read them. Their errors are all 400, not-found included.
type syncMethods struct {
	repos  *repodb.Store
	actors *accounts.Cache
	blobs  *blob.Store
	hosts  *hostCounts

	streams streamMethods
}

func (m syncMethods) register(g *group) {
	// An inactive repository is shown to its own account and to the operator; the token of a taken-down account opens
	// what it needs to leave.
	viewer(g, query("com.atproto.sync.getRepo").takes(auth.Std|auth.OrTakendown).answers(spoolAnswer), m.getRepo)
	viewer(g, query("com.atproto.sync.getRecord").takes(auth.Std), m.getRecord)
	viewer(g, query("com.atproto.sync.getBlocks").takes(auth.Std).answers(blocksAnswer), m.getBlocks)
	viewer(g, query("com.atproto.sync.getLatestCommit").takes(auth.Std), m.getLatestCommit)
	viewer(g, query("com.atproto.sync.getBlob").takes(auth.Std|auth.OrTakendown), m.getBlob)
	viewer(g, query("com.atproto.sync.listBlobs").takes(auth.Std|auth.OrTakendown).answers(rowsAnswer/4), m.listBlobs)
	public(g, query("com.atproto.sync.getRepoStatus"), m.getRepoStatus)
	public(g, query("com.atproto.sync.listRepos").answers(rowsAnswer/2), m.listRepos)
	public(g, query("com.atproto.sync.listReposByCollection").answers(rowsAnswer/4), m.listReposByCollection)
	public(g, query("com.atproto.sync.getHostStatus"), m.getHostStatus)
	public(g, query("com.atproto.sync.listHosts"), m.listHosts)
	subscribe(g, subscription("com.atproto.sync.subscribeRepos"), m.streams.subscribeRepos)
	// Deprecated, and still called.
	viewer(g, query("com.atproto.sync.getHead").takes(auth.Std), m.getHead)
	viewer(g, query("com.atproto.sync.getCheckout").takes(auth.Std|auth.OrTakendown).answers(spoolAnswer), m.getCheckout)
}

// readable finds a repository that the viewer may read.
func (m syncMethods) readable(ctx context.Context, v viewerCaller, did DID) (accounts.Actor, error) {
	a, err := m.find(ctx, v.Tenant, did)
	switch {
	case err != nil || v.sees(string(did)):
		return a, err
	case a.TakenDown:
		return a, refuse(http.StatusBadRequest, "RepoTakendown", "Repo has been takendown: %s", did)
	case a.Deactivated:
		return a, refuse(http.StatusBadRequest, "RepoDeactivated", "Repo has been deactivated: %s", did)
	}
	return a, nil
}

func (m syncMethods) find(ctx context.Context, t *tenant.Tenant, did DID) (accounts.Actor, error) {
	a, err := m.actors.ByDID(ctx, t.Schema, string(did), accounts.Fresh)
	if errors.Is(err, accounts.ErrNotFound) {
		return a, refuse(http.StatusBadRequest, "RepoNotFound", "Could not find repo for DID: %s", did)
	}
	return a, err
}

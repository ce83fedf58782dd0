package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// syncMethods are com.atproto.sync.*: repositories as others read them. Their errors are all 400, not-found included.
type syncMethods struct {
	repos  *repodb.Store
	actors *account.Cache
	blobs  *blob.Blobs
	hosts  *hostCounts

	streams streamMethods
}

func (m syncMethods) register(g *xrpc.Group) {
	// An inactive repository is shown to its own account and to the operator; the token of a taken-down account opens
	// what it needs to leave.
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getRepo").Lags().Takes(auth.Std|auth.OrTakendown).Answers(spoolAnswer), m.getRepo)
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getRecord").Lags().Takes(auth.Std), m.getRecord)
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getBlocks").Lags().Takes(auth.Std).Answers(blocksAnswer), m.getBlocks)
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getLatestCommit").Takes(auth.Std), m.getLatestCommit)
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getBlob").Takes(auth.Std|auth.OrTakendown), m.getBlob)
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.listBlobs").Lags().Takes(auth.Std|auth.OrTakendown).Answers(rowsAnswer/4), m.listBlobs)
	xrpc.Public(g, xrpc.Query("com.atproto.sync.getRepoStatus"), m.getRepoStatus)
	xrpc.Public(g, xrpc.Query("com.atproto.sync.listRepos").Lags().Answers(rowsAnswer/2), m.listRepos)
	xrpc.Public(g, xrpc.Query("com.atproto.sync.listReposByCollection").Lags().Answers(rowsAnswer/4), m.listReposByCollection)
	xrpc.Public(g, xrpc.Query("com.atproto.sync.getHostStatus"), m.getHostStatus)
	xrpc.Public(g, xrpc.Query("com.atproto.sync.listHosts"), m.listHosts)
	xrpc.Subscribe(g, xrpc.Subscription("com.atproto.sync.subscribeRepos"), m.streams.subscribeRepos)
	// Deprecated, and still called.
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getHead").Takes(auth.Std), m.getHead)
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getCheckout").Lags().Takes(auth.Std|auth.OrTakendown).Answers(spoolAnswer), m.getCheckout)
}

// readable finds a repository that the viewer may read.
func (m syncMethods) readable(ctx context.Context, v xrpc.ViewerCaller, did xrpc.DID) (account.Actor, error) {
	a, err := m.find(ctx, v.Tenant, did)
	switch {
	case err != nil || v.Sees(string(did)):
		return a, err
	case a.TakenDown:
		return a, xrpc.Refuse(http.StatusBadRequest, "RepoTakendown", "Repo has been takendown: %s", did)
	case a.Deactivated:
		return a, xrpc.Refuse(http.StatusBadRequest, "RepoDeactivated", "Repo has been deactivated: %s", did)
	}
	return a, nil
}

// asNew lets a replica answer for a repository that has what the primary has, if the caller is nobody in particular.
func (m syncMethods) asNew(ctx context.Context, v xrpc.ViewerCaller, a account.Actor) context.Context {
	if !v.MayLag() {
		return ctx
	}
	return m.repos.AsNew(ctx, v.Tenant.Schema, a.AID)
}

// lately lets a replica answer that is as new as what processes remember of accounts, whose states such an answer may show,
// and that has the changes of an account which this process knows of. To ask the primary how new it has to be would cost as
// much as such a read.
func lately(ctx context.Context, d *db.DB, v xrpc.Visitor, aid int64) context.Context {
	if v.MayLag() {
		ctx, _ = d.Lagging(ctx, v.Tenant.Schema, db.Lag{AID: aid, Bound: account.Fresh})
	}
	return ctx
}

func (m syncMethods) find(ctx context.Context, t *tenant.Tenant, did xrpc.DID) (account.Actor, error) {
	a, err := m.actors.ByDID(ctx, t.Schema, string(did), account.Fresh)
	if errors.Is(err, account.ErrNotFound) {
		return a, xrpc.Refuse(http.StatusBadRequest, "RepoNotFound", "Could not find repo for DID: %s", did)
	}
	return a, err
}

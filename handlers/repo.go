package handlers

import (
	"log/slog"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// repoMethods are com.atproto.repo.*: records.
type repoMethods struct {
	db        *db.DB
	repos     *repodb.Store
	actors    *account.Cache
	lexicons  *lexicon.Catalogue
	documents *identity.Resolver
	keys      *repo.Clock // draws record keys
	blobs     *blob.Blobs
	usage     *usage.Meter
	log       *slog.Logger
}

func (m repoMethods) register(g *xrpc.Group) {
	// Guarded: the committer compares the account's state again.
	writer := auth.Std | auth.NoTakedown | auth.NoDeactivated | auth.Guarded
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.createRecord").Takes(writer).Body(recordBodyLimit), mayCreateRecord, m.createRecord)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.putRecord").Takes(writer).Body(recordPutLimit), mayPutRecord, m.putRecord)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.deleteRecord").Takes(writer), mayDeleteRecord, m.deleteRecord)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.applyWrites").Takes(writer).Body(recordBodyLimit), mayApplyWrites, m.applyWrites)
	// A deactivated account uploads what it brings along; a service, what it made of the account's files (videos).
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.uploadBlob").Takes(auth.Std|auth.NoTakedown).OrService().Sparing(m.movesHere).BodyOf("blob_upload_limit", uploadLimit), mayUploadBlob, m.uploadBlob)
	xrpc.Account(g, xrpc.Query("com.atproto.repo.listMissingBlobs").Takes(auth.Std).Answers(rowsAnswer), anyOAuth, m.listMissingBlobs)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.importRepo").Takes(auth.Full|auth.NoTakedown).BodyOf("max_repo_import_size", importLimit), mayImportRepo, m.importRepo)
	xrpc.Public(g, xrpc.Query("com.atproto.repo.getRecord").Lags(), m.getRecord)
	xrpc.Public(g, xrpc.Query("com.atproto.repo.listRecords").Lags().Answers(3*pageBytes), m.listRecords)
	xrpc.Public(g, xrpc.Query("com.atproto.repo.describeRepo").Lags(), m.describeRepo)
}

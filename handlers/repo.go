package handlers

import (
	"log/slog"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// repoMethods are com.atproto.repo.*: records.
type repoMethods struct {
	repos     *repodb.Store
	actors    *accounts.Cache
	lexicons  *lexicon.Catalogue
	documents *identity.Resolver
	keys      *repo.Clock // draws record keys
	blobs     *blob.Store
	log       *slog.Logger
}

func (m repoMethods) register(g *group) {
	// Guarded: the committer compares the account's state again.
	writer := auth.Std | auth.NoTakedown | auth.NoDeactivated | auth.Guarded
	account(g, procedure("com.atproto.repo.createRecord").takes(writer).body(recordBodyLimit), mayCreateRecord, m.createRecord)
	account(g, procedure("com.atproto.repo.putRecord").takes(writer).body(recordPutLimit), mayPutRecord, m.putRecord)
	account(g, procedure("com.atproto.repo.deleteRecord").takes(writer), mayDeleteRecord, m.deleteRecord)
	account(g, procedure("com.atproto.repo.applyWrites").takes(writer).body(recordBodyLimit), mayApplyWrites, m.applyWrites)
	// A deactivated account uploads what it brings along; a service, what it made of the account's files (videos).
	account(g, procedure("com.atproto.repo.uploadBlob").takes(auth.Std|auth.NoTakedown).orService().sparing(m.movesHere).bodyOf("blob_upload_limit", uploadLimit), anyOAuth, m.uploadBlob)
	account(g, query("com.atproto.repo.listMissingBlobs").takes(auth.Std).answers(rowsAnswer), anyOAuth, m.listMissingBlobs)
	account(g, procedure("com.atproto.repo.importRepo").takes(auth.Full|auth.NoTakedown).bodyOf("max_repo_import_size", importLimit), mayImportRepo, m.importRepo)
	public(g, query("com.atproto.repo.getRecord"), m.getRecord)
	public(g, query("com.atproto.repo.listRecords").answers(3*pageBytes), m.listRecords)
	public(g, query("com.atproto.repo.describeRepo"), m.describeRepo)
}

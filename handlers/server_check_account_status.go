package handlers

import (
	"context"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/blob"
)

// accountStatusOutput is the lexicon's output, and what the account's files take, which no lexicon has.
type accountStatusOutput struct{ Body accountStatusOutputBody }

type accountStatusOutputBody struct {
	Activated          bool     `json:"activated"`
	ValidDid           bool     `json:"validDid"`
	RepoCommit         xrpc.CID `json:"repoCommit"`
	RepoRev            string   `json:"repoRev"`
	RepoBlocks         int64    `json:"repoBlocks"`
	IndexedRecords     int64    `json:"indexedRecords"`
	PrivateStateValues int64    `json:"privateStateValues"`
	ExpectedBlobs      int64    `json:"expectedBlobs" doc:"Files that records name."`
	ImportedBlobs      int64    `json:"importedBlobs" doc:"Files that are here."`
	BlobBytes          int64    `json:"blobBytes" doc:"What the account's files take, in bytes."`
	BlobLimit          int64    `json:"blobLimit" doc:"What they may take; 0: no limit."`
}

// documentAge is how old the DID document may be that an account's status is judged by.
const documentAge = 5 * time.Second

// checkAccountStatus tells how far an account that moves here is complete.
// spec: lexicon com.atproto.server.checkAccountStatus
func (m serverMethods) checkAccountStatus(ctx context.Context, c xrpc.AccountCaller, _ *serverCheckAccountStatusInput) (*accountStatusOutput, error) {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	head, err := m.repos.Head(ctx, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, err
	}
	key, err := account.Signer(ctx, q, m.keys, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, act.Gone(err)
	}
	count, err := q.CountRepoBlocks(ctx, c.AID)
	if err != nil {
		return nil, err
	}
	files, err := blob.UsageOf(ctx, q, c.AID)
	if err != nil {
		return nil, err
	}
	limit := c.Tenant.Settings.BlobAccountLimit
	if files.MaxBytes >= 0 {
		limit = files.MaxBytes
	}
	valid := false
	// Asked anew, but for clients that ask again and again: an operation may have gone past this server.
	if doc, err := m.documents.ResolveWithin(ctx, xrpc.OwnAsker(c.Tenant), c.DID, documentAge); err != nil {
		m.log.Info("account status without DID document", "did", c.DID, "err", err)
	} else {
		valid = account.CheckDocument(doc, c.Tenant, key.PublicDIDKey()) == nil
	}
	return &accountStatusOutput{Body: accountStatusOutputBody{
		Activated: !head.Deactivated, ValidDid: valid,
		RepoCommit: xrpc.CID(head.Head.CID.String()), RepoRev: head.Head.Rev.String(),
		RepoBlocks: count.Nodes + count.Blocks + 1, IndexedRecords: count.Records,
		ExpectedBlobs: files.Expected, ImportedBlobs: files.Held, BlobBytes: files.Bytes, BlobLimit: limit,
	}}, nil
}

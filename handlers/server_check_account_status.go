package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
)

// checkAccountStatus tells how far an account that moves here is complete.
// spec: lexicon com.atproto.server.checkAccountStatus
func (m serverMethods) checkAccountStatus(ctx context.Context, c accountCaller, _ *serverCheckAccountStatusInput) (*serverCheckAccountStatusOutput, error) {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	head, err := m.repos.Head(ctx, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, err
	}
	key, err := accounts.Signer(ctx, q, m.keys, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, goneAccount(err)
	}
	count, err := q.CountRepoBlocks(ctx, c.AID)
	if err != nil {
		return nil, err
	}
	valid := false
	if doc, err := m.documents.Resolve(ctx, c.DID); err != nil {
		m.log.Info("account status without DID document", "did", c.DID, "err", err)
	} else {
		valid = accounts.CheckDocument(doc, c.Tenant, key.PublicDIDKey()) == nil
	}
	return &serverCheckAccountStatusOutput{Body: serverCheckAccountStatusOutputBody{
		Activated: !head.Deactivated, ValidDid: valid,
		RepoCommit: CID(head.Head.CID.String()), RepoRev: head.Head.Rev.String(),
		RepoBlocks: count.Nodes + count.Blocks + 1, IndexedRecords: count.Records,
	}}, nil
}

package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/firehose"
)

// activateAccount shows the account again, or for the first time when it moved here: its DID document must lead here by
// then. Whether our rotation key is among the DID's is the user's affair.
// spec: lexicon com.atproto.server.activateAccount
func (m serverMethods) activateAccount(ctx context.Context, c accountCaller, _ *serverActivateAccountInput) (*serverActivateAccountOutput, error) {
	key, err := accounts.Signer(ctx, m.db.Tenant(c.Tenant.Schema).Q(), m.keys, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, goneAccount(err)
	}
	doc, err := m.documents.Refresh(ctx, c.DID)
	if err != nil {
		return nil, err
	}
	if err := accounts.CheckDocument(doc, c.Tenant, key.PublicDIDKey()); err != nil {
		return nil, err
	}
	err = m.acts.Publish(ctx, c.Tenant, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if err := accounts.NotAwaiting(ctx, q, c.AID); err != nil {
			return nil, err
		}
		return accounts.Activate(ctx, q, m.now(), c.AID)
	})
	m.actors.Forget(c.Tenant.Schema, c.DID)
	if err != nil {
		return nil, goneAccount(err)
	}
	return &serverActivateAccountOutput{}, nil
}

// goneAccount is the answer when the caller's account went away, or was taken down, during the call.
func goneAccount(err error) error {
	if errors.Is(err, accounts.ErrNotFound) {
		return act.ErrGone
	}
	return err
}

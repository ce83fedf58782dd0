package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// deleteAccount deletes an account for good, by its main password and a mailed token. Accounts that are taken down may
// be deleted too.
// spec: lexicon com.atproto.server.deleteAccount
func (m serverMethods) deleteAccount(ctx context.Context, v xrpc.Visitor, in *serverDeleteAccountInput) (*serverDeleteAccountOutput, error) {
	err := m.acts.DeleteOwnAccount(ctx, v.Tenant, stranger(v), string(in.Body.DID), in.Body.Password, in.Body.Token)
	if errors.Is(err, account.ErrCredentials) {
		return nil, xrpc.Refuse(http.StatusUnauthorized, "", "Invalid did or password")
	}
	if err != nil {
		return nil, err
	}
	return &serverDeleteAccountOutput{}, nil
}

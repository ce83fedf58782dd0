package handlers

import (
	"context"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/syntax"
)

// deactivateAccount hides the account, until it is activated or, if a date is given, deleted. A date that is new, or
// earlier than the one before, is told by mail: a session alone is enough to set it.
// spec: lexicon com.atproto.server.deactivateAccount
func (m serverMethods) deactivateAccount(ctx context.Context, c xrpc.AccountCaller, in *serverDeactivateAccountInput) (*serverDeactivateAccountOutput, error) {
	var deleteAfter *time.Time
	if in.Body.DeleteAfter != "" {
		at, ok := syntax.ParseDatetime(string(in.Body.DeleteAfter))
		if !ok {
			return nil, xrpc.Invalid("deleteAfter must be a datetime")
		}
		deleteAfter = &at
	}
	if err := m.acts.Deactivate(ctx, c.Tenant, owner(c), deleteAfter); err != nil {
		return nil, err
	}
	return &serverDeactivateAccountOutput{}, nil
}

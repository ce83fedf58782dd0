package handlers

import (
	"context"
	"slices"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// disableInviteCodes makes codes unusable: those named, and all of the accounts named.
// spec: lexicon com.atproto.admin.disableInviteCodes
func (m adminMethods) disableInviteCodes(ctx context.Context, c operatorCaller, in *adminDisableInviteCodesInput) (*adminDisableInviteCodesOutput, error) {
	if slices.Contains(in.Body.Accounts, accounts.InviteAdmin) {
		return nil, invalid("cannot disable admin invite codes")
	}
	if len(in.Body.Codes)+len(in.Body.Accounts) > maxInviteCodes {
		return nil, invalid("at most %d codes and accounts can be named at once", maxInviteCodes)
	}
	detail := map[string]any{"codes": in.Body.Codes, "accounts": in.Body.Accounts}
	err := m.act(ctx, c, "", detail, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, accounts.DisableInvites(ctx, q, in.Body.Codes, in.Body.Accounts)
	})
	if err != nil {
		return nil, err
	}
	return new(adminDisableInviteCodesOutput), nil
}

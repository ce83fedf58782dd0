package handlers

import (
	"context"
	"slices"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// codesInLine is how many codes one line of the log names.
const codesInLine = 50

// disableInviteCodes makes codes unusable: those named, and all of the accounts named.
// spec: lexicon com.atproto.admin.disableInviteCodes
func (m adminMethods) disableInviteCodes(ctx context.Context, c operatorCaller, in *adminDisableInviteCodesInput) (*adminDisableInviteCodesOutput, error) {
	if slices.Contains(in.Body.Accounts, accounts.InviteAdmin) {
		return nil, invalid("cannot disable admin invite codes")
	}
	if len(in.Body.Codes)+len(in.Body.Accounts) > maxInviteCodes {
		return nil, invalid("at most %d codes and accounts can be named at once", maxInviteCodes)
	}
	// Each account has its line, so that it is found by the account; codes stand in lines that hold all of them.
	var deeds []deed
	for _, account := range in.Body.Accounts {
		deeds = append(deeds, deed{account, map[string]any{"codes": "all"}})
	}
	for codes := range slices.Chunk(in.Body.Codes, codesInLine) {
		deeds = append(deeds, deed{"", map[string]any{"codes": codes}})
	}
	if len(deeds) == 0 {
		deeds = []deed{{}}
	}
	err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := accounts.DisableInvites(ctx, q, in.Body.Codes, in.Body.Accounts); err != nil {
			return err
		}
		return c.recordAll(ctx, q, deeds)
	})
	if err != nil {
		return nil, err
	}
	return new(adminDisableInviteCodesOutput), nil
}

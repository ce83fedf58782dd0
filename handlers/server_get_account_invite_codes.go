package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// getAccountInviteCodes lists the codes that the caller may give away; those that are due by now are made first.
// DuplicateCreate, which the lexicon declares for two calls at once, does not come: the second finds the first one's
// codes.
// spec: lexicon com.atproto.server.getAccountInviteCodes
func (m serverMethods) getAccountInviteCodes(ctx context.Context, c accountCaller, in *serverGetAccountInviteCodesInput) (*serverGetAccountInviteCodesOutput, error) {
	var codes []accounts.Invite
	err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		codes, err = accounts.OwnInvites(ctx, q, c.Tenant, m.now(), c.DID, in.CreateAvailable)
		return err
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, auth.ErrAccountNotFound
	}
	if err != nil {
		return nil, err
	}
	out := &serverGetAccountInviteCodesOutput{Body: serverGetAccountInviteCodesOutputBody{Codes: []serverDefsInviteCode{}}}
	for _, code := range codes {
		if !code.Disabled && (in.IncludeUsed || code.Left > 0) {
			out.Body.Codes = append(out.Body.Codes, inviteView(code))
		}
	}
	return out, nil
}

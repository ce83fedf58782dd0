package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// getInviteCodes lists all codes, newest or most used first.
// spec: lexicon com.atproto.admin.getInviteCodes
func (m adminMethods) getInviteCodes(ctx context.Context, c xrpc.OperatorCaller, in *adminGetInviteCodesInput) (*adminGetInviteCodesOutput, error) {
	if in.Sort != "recent" && in.Sort != "usage" {
		return nil, xrpc.Invalid("unknown sort method: must be recent or usage")
	}
	codes, cursor, err := account.Invites(ctx, m.db.Tenant(c.Tenant.Schema).Q(), in.Sort == "usage", in.Cursor, int(in.Limit))
	if errors.Is(err, account.ErrCursor) {
		return nil, xrpc.Invalid("Malformed cursor")
	}
	if err != nil {
		return nil, err
	}
	out := &adminGetInviteCodesOutput{Body: adminGetInviteCodesOutputBody{Codes: []serverDefsInviteCode{}, Cursor: cursor}}
	for _, code := range codes {
		out.Body.Codes = append(out.Body.Codes, inviteView(code))
	}
	return out, nil
}

package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// getAccountInviteCodes lists the codes that the caller may give away; those that are due by now are made first.
// DuplicateCreate, which the lexicon declares for two calls at once, does not come: the second finds the first one's
// codes.
// spec: lexicon com.atproto.server.getAccountInviteCodes
func (m serverMethods) getAccountInviteCodes(ctx context.Context, c xrpc.AccountCaller, in *serverGetAccountInviteCodesInput) (*serverGetAccountInviteCodesOutput, error) {
	codes, err := m.acts.OwnInvites(ctx, c.Tenant, owner(c), in.CreateAvailable)
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

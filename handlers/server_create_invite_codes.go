package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// createInviteCodes makes codeCount codes for each account, all of them or none.
// spec: lexicon com.atproto.server.createInviteCodes
func (m serverMethods) createInviteCodes(ctx context.Context, c xrpc.OperatorCaller, in *serverCreateInviteCodesInput) (*serverCreateInviteCodesOutput, error) {
	owners := []string{account.InviteAdmin}
	if len(in.Body.ForAccounts) > 0 {
		owners = owners[:0]
		for _, did := range in.Body.ForAccounts {
			owners = append(owners, string(did))
		}
	}
	codes, err := m.acts.Invites(ctx, c.Tenant, by(c), owners, in.Body.CodeCount, in.Body.UseCount)
	if err != nil {
		return nil, err
	}
	out := make([]serverCreateInviteCodesAccountCodes, len(owners))
	for i, owner := range owners {
		out[i] = serverCreateInviteCodesAccountCodes{Account: owner, Codes: codes[i]}
	}
	return &serverCreateInviteCodesOutput{Body: serverCreateInviteCodesOutputBody{Codes: out}}, nil
}

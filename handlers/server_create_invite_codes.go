package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// maxInviteCodes bounds one call: codes times accounts.
const maxInviteCodes = 5000

// createInviteCodes makes codeCount codes for each account, all of them or none.
// spec: lexicon com.atproto.server.createInviteCodes
func (m serverMethods) createInviteCodes(ctx context.Context, c operatorCaller, in *serverCreateInviteCodesInput) (*serverCreateInviteCodesOutput, error) {
	owners := in.Body.ForAccounts
	if len(owners) == 0 {
		owners = []DID{accounts.InviteAdmin}
	}
	if in.Body.CodeCount < 1 || in.Body.CodeCount > maxInviteCodes || int(in.Body.CodeCount)*len(owners) > maxInviteCodes {
		return nil, invalid("between 1 and %d codes can be made at once", maxInviteCodes)
	}
	out := make([]serverCreateInviteCodesAccountCodes, len(owners))
	deeds := make([]deed, len(owners))
	for i, owner := range owners {
		out[i].Account = string(owner)
		deeds[i] = deed{string(owner), map[string]any{"codes": in.Body.CodeCount, "uses": in.Body.UseCount}}
		for range in.Body.CodeCount {
			out[i].Codes = append(out[i].Codes, accounts.NewInviteCode(c.Tenant.Hostname))
		}
	}
	err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		for _, o := range out {
			for _, code := range o.Codes {
				if err := accounts.InsertInvite(ctx, q, m.now(), code, int(in.Body.UseCount), o.Account, c.Name); err != nil {
					return err
				}
			}
		}
		return c.recordAll(ctx, q, deeds)
	})
	if err != nil {
		return nil, err
	}
	return &serverCreateInviteCodesOutput{Body: serverCreateInviteCodesOutputBody{Codes: out}}, nil
}

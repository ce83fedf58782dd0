package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// createInviteCode makes one code.
// spec: lexicon com.atproto.server.createInviteCode
func (m serverMethods) createInviteCode(ctx context.Context, c xrpc.OperatorCaller, in *serverCreateInviteCodeInput) (*serverCreateInviteCodeOutput, error) {
	code, err := m.acts.Invite(ctx, c.Tenant, by(c), string(in.Body.ForAccount), in.Body.UseCount)
	if err != nil {
		return nil, err
	}
	return &serverCreateInviteCodeOutput{Body: serverCreateInviteCodeOutputBody{Code: code}}, nil
}

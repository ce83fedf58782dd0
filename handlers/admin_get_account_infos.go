package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// getAccountInfos is getAccountInfo of several; who is not here is left out.
// spec: lexicon com.atproto.admin.getAccountInfos
func (m adminMethods) getAccountInfos(ctx context.Context, c xrpc.OperatorCaller, in *adminGetAccountInfosInput) (*adminGetAccountInfosOutput, error) {
	if len(in.Dids) > account.MaxInfos {
		return nil, xrpc.Invalid("dids must have at most %d items", account.MaxInfos)
	}
	dids := make([]string, len(in.Dids))
	for i, did := range in.Dids {
		dids[i] = string(did)
	}
	views, err := m.accountViews(ctx, c, dids)
	if err != nil {
		return nil, err
	}
	return &adminGetAccountInfosOutput{Body: adminGetAccountInfosOutputBody{Infos: views}}, nil
}

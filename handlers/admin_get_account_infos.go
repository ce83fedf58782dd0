package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
)

// getAccountInfos is getAccountInfo of several; who is not here is left out.
// spec: lexicon com.atproto.admin.getAccountInfos
func (m adminMethods) getAccountInfos(ctx context.Context, c operatorCaller, in *adminGetAccountInfosInput) (*adminGetAccountInfosOutput, error) {
	if len(in.Dids) > accounts.MaxInfos {
		return nil, invalid("dids must have at most %d items", accounts.MaxInfos)
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

package handlers

import (
	"context"
	"strconv"
	"strings"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// searchAccounts lists the accounts whose address contains a text, or all, oldest first.
// spec: lexicon com.atproto.admin.searchAccounts
func (m adminMethods) searchAccounts(ctx context.Context, c xrpc.OperatorCaller, in *adminSearchAccountsInput) (*adminSearchAccountsOutput, error) {
	after := int64(0)
	if in.Cursor != "" {
		var err error
		if after, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || after < 0 {
			return nil, xrpc.Invalid("Malformed cursor")
		}
	}
	contains := strings.ToLower(strings.TrimSpace(in.Email))
	if len(contains) > 254 || strings.IndexByte(contains, 0) >= 0 {
		return nil, xrpc.Invalid("email must be at most 254 bytes")
	}
	q := m.db.Tenant(c.Tenant.Schema).Q()
	infos, err := account.Search(ctx, q, contains, false, after, int(in.Limit))
	if err != nil {
		return nil, err
	}
	out := new(adminSearchAccountsOutput)
	if out.Body.Accounts, err = viewsOf(ctx, q, infos); err != nil {
		return nil, err
	}
	if len(infos) == int(in.Limit) {
		out.Body.Cursor = strconv.FormatInt(infos[len(infos)-1].AID, 10)
	}
	return out, nil
}

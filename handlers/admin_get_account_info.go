package handlers

import (
	"context"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
)

// getAccountInfo is what operators see of one account.
// spec: lexicon com.atproto.admin.getAccountInfo
func (m adminMethods) getAccountInfo(ctx context.Context, c xrpc.OperatorCaller, in *adminGetAccountInfoInput) (*adminGetAccountInfoOutput, error) {
	views, err := m.accountViews(ctx, c, []string{string(in.DID)})
	if err != nil {
		return nil, err
	}
	if len(views) == 0 {
		return nil, noAccount(account.ErrNotFound)
	}
	return &adminGetAccountInfoOutput{Body: views[0]}, nil
}

func (m adminMethods) accountViews(ctx context.Context, c xrpc.OperatorCaller, dids []string) ([]adminDefsAccountView, error) {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	infos, err := account.Infos(ctx, q, dids)
	if err != nil {
		return nil, err
	}
	return viewsOf(ctx, q, infos)
}

// viewsOf adds the invite codes, each kind by one query for all accounts.
func viewsOf(ctx context.Context, q *tenantdb.Queries, infos []account.Info) ([]adminDefsAccountView, error) {
	var dids, codes []string
	for _, a := range infos {
		dids = append(dids, a.DID)
		if a.InviteCode != "" {
			codes = append(codes, a.InviteCode)
		}
	}
	theirs, err := account.InvitesFor(ctx, q, dids)
	if err != nil {
		return nil, err
	}
	by, err := account.InvitesByCode(ctx, q, codes)
	if err != nil {
		return nil, err
	}
	out := make([]adminDefsAccountView, len(infos))
	for i, a := range infos {
		v := adminDefsAccountView{
			DID: xrpc.DID(a.DID), Handle: shownHandle(a.Handle), Email: a.Email, IndexedAt: datetime(a.CreatedAt), InviteNote: a.InviteNote,
			Invites: []serverDefsInviteCode{}, InvitesDisabled: &a.InvitesDisabled, EmailConfirmedAt: datetimeOf(a.EmailConfirmedAt), DeactivatedAt: datetimeOf(a.DeactivatedAt),
		}
		if used, ok := by[a.InviteCode]; ok {
			view := inviteView(used)
			v.InvitedBy = &view
		}
		for _, code := range theirs[a.DID] {
			v.Invites = append(v.Invites, inviteView(code))
		}
		out[i] = v
	}
	return out, nil
}

func inviteView(i account.Invite) serverDefsInviteCode {
	v := serverDefsInviteCode{
		Code: i.Code, Available: int64(i.Total), Disabled: i.Disabled, ForAccount: i.ForAccount, CreatedBy: i.CreatedBy,
		CreatedAt: datetime(i.CreatedAt), Uses: []serverDefsInviteCodeUse{},
	}
	for _, u := range i.Uses {
		v.Uses = append(v.Uses, serverDefsInviteCodeUse{UsedBy: xrpc.DID(u.DID), UsedAt: datetime(u.At)})
	}
	return v
}

// datetime writes a moment as lexicons have it, in milliseconds.
// spec: lexicon#datetime
func datetime(t time.Time) xrpc.Datetime {
	return xrpc.Datetime(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func datetimeOf(t *time.Time) xrpc.Datetime {
	if t == nil {
		return ""
	}
	return datetime(*t)
}

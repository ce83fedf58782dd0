package handlers

import "context"

// disableAccountInvites keeps an account from getting new invite codes. Those it has stay good.
// spec: lexicon com.atproto.admin.disableAccountInvites
func (m adminMethods) disableAccountInvites(ctx context.Context, c operatorCaller, in *adminDisableAccountInvitesInput) (*adminDisableAccountInvitesOutput, error) {
	if err := m.acts.SetInvites(ctx, c.Tenant, by(c), string(in.Body.Account), true, in.Body.Note); err != nil {
		return nil, noAccount(err)
	}
	return new(adminDisableAccountInvitesOutput), nil
}

package handlers

import "context"

// disableInviteCodes makes codes unusable: those named, and all of the accounts named.
// spec: lexicon com.atproto.admin.disableInviteCodes
func (m adminMethods) disableInviteCodes(ctx context.Context, c operatorCaller, in *adminDisableInviteCodesInput) (*adminDisableInviteCodesOutput, error) {
	if err := m.acts.DisableInvites(ctx, c.Tenant, by(c), in.Body.Codes, in.Body.Accounts); err != nil {
		return nil, err
	}
	return new(adminDisableInviteCodesOutput), nil
}

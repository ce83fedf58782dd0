package handlers

import (
	"context"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// enableAccountInvites lets an account get invite codes again.
// spec: lexicon com.atproto.admin.enableAccountInvites
func (m adminMethods) enableAccountInvites(ctx context.Context, c operatorCaller, in *adminEnableAccountInvitesInput) (*adminEnableAccountInvitesOutput, error) {
	if err := m.setInvites(ctx, c, string(in.Body.Account), false, in.Body.Note); err != nil {
		return nil, err
	}
	return new(adminEnableAccountInvitesOutput), nil
}

// maxInviteNote bounds the remark, in bytes.
const maxInviteNote = 2000

func (m adminMethods) setInvites(ctx context.Context, c operatorCaller, did string, disabled bool, note string) error {
	if len(note) > maxInviteNote || strings.IndexByte(note, 0) >= 0 {
		return invalid("note must be text of at most %d bytes", maxInviteNote)
	}
	return noAccount(m.act(ctx, c, did, map[string]any{"note": note}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, accounts.SetInvitesDisabled(ctx, q, did, disabled, note)
	}))
}

package act

import (
	"context"
	"slices"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actInvite         = "com.atproto.server.createInviteCode"
	actInvites        = "com.atproto.server.createInviteCodes"
	actDisableCodes   = "com.atproto.admin.disableInviteCodes"
	actEnableInvites  = "com.atproto.admin.enableAccountInvites"
	actDisableInvites = "com.atproto.admin.disableAccountInvites"
)

const (
	// maxInvites bounds one act: codes times accounts.
	maxInvites = 5000
	// codesInLine is how many codes one line of the audit log names.
	codesInLine = 50
	// maxInviteNote bounds a remark, in bytes.
	maxInviteNote = 2000
)

// Invite makes one code that opens uses accounts, for owner to give away, a DID, or "" for the operators.
// Errors: [accounts.ErrInviteUses].
func (a *Acts) Invite(ctx context.Context, t *tenant.Tenant, by Operator, owner string, uses int64) (string, error) {
	if owner == "" {
		owner = accounts.InviteAdmin
	}
	codes, err := a.invite(ctx, t, by, actInvite, []string{owner}, 1, uses)
	if err != nil {
		return "", err
	}
	return codes[0][0], nil
}

// OwnInvites are the codes that an account may give away. Those that are due by now are made first, if due says so. Two at
// once make them once: the second finds the first one's. Errors: [auth.ErrAccountNotFound].
func (a *Acts) OwnInvites(ctx context.Context, t *tenant.Tenant, by Owner, due bool) (codes []accounts.Invite, err error) {
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		codes, err = accounts.OwnInvites(ctx, q, t, a.Now(), by.DID, due)
		return ended(err)
	})
	return codes, err
}

// Invites makes count codes for each of the owners (none: the operators), all of them or none, and gives them in the
// owners' order. Errors: [ErrInviteCount], [accounts.ErrInviteUses].
func (a *Acts) Invites(ctx context.Context, t *tenant.Tenant, by Operator, owners []string, count, uses int64) ([][]string, error) {
	if len(owners) == 0 {
		owners = []string{accounts.InviteAdmin}
	}
	if count < 1 || count > maxInvites || int(count)*len(owners) > maxInvites {
		return nil, ErrInviteCount
	}
	return a.invite(ctx, t, by, actInvites, owners, count, uses)
}

func (a *Acts) invite(ctx context.Context, t *tenant.Tenant, by Operator, action string, owners []string, count, uses int64) ([][]string, error) {
	out := make([][]string, len(owners))
	deeds := make([]deed, len(owners))
	for i, owner := range owners {
		deeds[i] = deed{owner, map[string]any{"codes": count, "uses": uses}}
		for range count {
			out[i] = append(out[i], accounts.NewInviteCode(t.Hostname))
		}
	}
	err := a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		for i, codes := range out {
			for _, code := range codes {
				if err := accounts.InsertInvite(ctx, q, a.Now(), code, int(uses), owners[i], by.Name); err != nil {
					return err
				}
			}
		}
		return a.record(ctx, q, by, action, deeds...)
	})
	return out, err
}

// DisableInvites makes codes unusable: those named, and all of the accounts named. Errors: [ErrInviteAdmin],
// [ErrInviteNames].
func (a *Acts) DisableInvites(ctx context.Context, t *tenant.Tenant, by Operator, codes, owners []string) error {
	if slices.Contains(owners, accounts.InviteAdmin) {
		return ErrInviteAdmin
	}
	if len(codes)+len(owners) > maxInvites {
		return ErrInviteNames
	}
	// Each account has its line, so that it is found by the account; codes stand in lines that hold all of them.
	var deeds []deed
	for _, owner := range owners {
		deeds = append(deeds, deed{owner, map[string]any{"codes": "all"}})
	}
	for some := range slices.Chunk(codes, codesInLine) {
		deeds = append(deeds, deed{"", map[string]any{"codes": some}})
	}
	if len(deeds) == 0 {
		deeds = []deed{{}}
	}
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := accounts.DisableInvites(ctx, q, codes, owners); err != nil {
			return err
		}
		return a.record(ctx, q, by, actDisableCodes, deeds...)
	})
}

// SetInvites lets an account get invite codes, or keeps it from getting new ones: those it has stay good.
// Errors: [ErrInviteNote], [accounts.ErrNotFound].
func (a *Acts) SetInvites(ctx context.Context, t *tenant.Tenant, by Operator, did string, disabled bool, note string) error {
	if len(note) > maxInviteNote || strings.IndexByte(note, 0) >= 0 {
		return ErrInviteNote
	}
	action := actEnableInvites
	if disabled {
		action = actDisableInvites
	}
	return a.change(ctx, t, by, action, deed{did, map[string]any{"note": note}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, accounts.SetInvitesDisabled(ctx, q, did, disabled, note)
	})
}

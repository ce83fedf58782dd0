package account

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/tenant"
)

// mostUnused is how many unused codes an account gets at most.
const mostUnused = 5

// InvitesDue is how many codes an account of that age is to get: one for each interval since it exists, or since the
// tenant's epoch, less those it got, and never more than five that are unused. Codes made by an operator are a gift and
// do not count.
func InvitesDue(s *tenant.Settings, created, now time.Time, codes []Invite) int {
	interval := time.Duration(s.InviteIntervalHours) * time.Hour
	if interval <= 0 || !s.InviteRequired() {
		return 0
	}
	epoch, err := time.Parse(time.RFC3339, s.InviteEpoch)
	if err == nil && created.Before(epoch) {
		created = epoch
	}
	due, unused := int(now.Sub(created)/interval), 0
	for _, c := range codes {
		if c.CreatedBy != c.ForAccount {
			continue
		}
		if !c.Disabled && c.Left > 0 {
			unused++
		}
		if err != nil || c.CreatedAt.After(epoch) {
			due--
		}
	}
	return max(0, min(mostUnused-unused, due))
}

// OwnInvites lists an account's codes, and with create first makes those that are due, inside the caller's transaction:
// of two callers at once the second finds the first one's codes. An account whose invites are disabled, or that is not
// in use, gets none. Errors: [ErrNotFound].
func OwnInvites(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, now time.Time, did string, create bool) ([]Invite, error) {
	a, err := ByDID(ctx, q, did)
	if err != nil {
		return nil, err
	}
	list := func() ([]Invite, error) {
		m, err := InvitesFor(ctx, q, []string{did})
		return m[did], err
	}
	codes, err := list()
	if err != nil || !create || a.InvitesDisabled || !a.Active() || InvitesDue(&t.Settings, a.CreatedAt, now, codes) == 0 {
		return codes, err
	}
	if _, err := q.LockActor(ctx, a.AID); db.IsNoRows(err) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("lock actor %d: %w", a.AID, err)
	}
	if codes, err = list(); err != nil {
		return nil, err
	}
	for range InvitesDue(&t.Settings, a.CreatedAt, now, codes) {
		if err := InsertInvite(ctx, q, now, NewInviteCode(t.Hostname), 1, did, did); err != nil {
			return nil, err
		}
	}
	return list()
}

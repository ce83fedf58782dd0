package account

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// ErrCursor: not a cursor that a page before gave.
var ErrCursor = errors.New("malformed cursor")

// Invite is a code and who used it.
type Invite struct {
	Code       string      `json:"code"`
	Total      int         `json:"total"` // uses it was made with
	Left       int         `json:"left"`
	Disabled   bool        `json:"disabled"`
	ForAccount string      `json:"forAccount"` // DID, or [InviteAdmin]
	CreatedBy  string      `json:"createdBy"`
	CreatedAt  time.Time   `json:"createdAt"`
	Uses       []InviteUse `json:"uses,omitzero"`
}

// InviteUse is one account that signed up with a code.
type InviteUse struct {
	DID string    `json:"did"`
	At  time.Time `json:"at"`
}

// Bounds of what one answer may hold.
const (
	maxInvitesListed = 10_000
	maxUsesListed    = 20_000
)

// withUses turns rows into invites and looks their uses up, by one query.
func withUses(ctx context.Context, q *tenantdb.Queries, rows []tenantdb.ListInviteCodesForRow) ([]Invite, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	out, codes, at := make([]Invite, len(rows)), make([]string, len(rows)), make(map[string]int, len(rows))
	for i, r := range rows {
		out[i] = Invite{
			Code: r.Code, Total: int(r.UsesTotal), Left: int(r.UsesLeft), Disabled: r.Disabled, ForAccount: r.ForAccount,
			CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt,
		}
		codes[i], at[r.Code] = r.Code, i
	}
	uses, err := q.ListInviteCodeUses(ctx, tenantdb.ListInviteCodeUsesParams{Codes: codes, MaxRows: maxUsesListed})
	if err != nil {
		return nil, fmt.Errorf("list uses of invite codes: %w", err)
	}
	for _, u := range uses {
		i := at[u.Code]
		out[i].Uses = append(out[i].Uses, InviteUse{u.DID, u.UsedAt})
	}
	return out, nil
}

// InvitesFor lists the codes that accounts may give away, by account.
func InvitesFor(ctx context.Context, q *tenantdb.Queries, dids []string) (map[string][]Invite, error) {
	if len(dids) == 0 {
		return nil, nil
	}
	rows, err := q.ListInviteCodesFor(ctx, tenantdb.ListInviteCodesForParams{Accounts: dids, MaxRows: maxInvitesListed})
	if err != nil {
		return nil, fmt.Errorf("list invite codes: %w", err)
	}
	all, err := withUses(ctx, q, rows)
	if err != nil {
		return nil, err
	}
	out := map[string][]Invite{}
	for _, i := range all {
		out[i.ForAccount] = append(out[i.ForAccount], i)
	}
	return out, nil
}

// InvitesByCode looks codes up.
func InvitesByCode(ctx context.Context, q *tenantdb.Queries, codes []string) (map[string]Invite, error) {
	if len(codes) == 0 {
		return nil, nil
	}
	rows, err := q.ListInviteCodesByCode(ctx, tenantdb.ListInviteCodesByCodeParams{Codes: codes, MaxRows: maxInvitesListed})
	if err != nil {
		return nil, fmt.Errorf("look invite codes up: %w", err)
	}
	found := make([]tenantdb.ListInviteCodesForRow, len(rows))
	for i, r := range rows {
		found[i] = tenantdb.ListInviteCodesForRow(r)
	}
	all, err := withUses(ctx, q, found)
	if err != nil {
		return nil, err
	}
	out := map[string]Invite{}
	for _, i := range all {
		out[i.Code] = i
	}
	return out, nil
}

// Invites lists a page of all codes, newest or most used first. cursor is what the page before gave, "" at first; the
// one returned is empty after the last page. Errors: [ErrCursor].
func Invites(ctx context.Context, q *tenantdb.Queries, byUsage bool, cursor string, limit int) ([]Invite, string, error) {
	sortValue, code, _ := strings.Cut(cursor, "::")
	if cursor != "" && (code == "" || !isText(code)) {
		return nil, "", ErrCursor
	}
	var rows []tenantdb.ListInviteCodesForRow
	var err error
	if byUsage {
		before := int64(math.MaxInt32)
		if cursor != "" {
			if before, err = strconv.ParseInt(sortValue, 10, 32); err != nil {
				return nil, "", ErrCursor
			}
		}
		var page []tenantdb.ListInviteCodesByUsageRow
		page, err = q.ListInviteCodesByUsage(ctx, tenantdb.ListInviteCodesByUsageParams{BeforeUses: int32(before), BeforeCode: code, MaxRows: int32(limit)})
		for _, r := range page {
			rows = append(rows, tenantdb.ListInviteCodesForRow(r))
		}
	} else {
		before := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		if cursor != "" {
			if before, err = time.Parse(time.RFC3339Nano, sortValue); err != nil {
				return nil, "", ErrCursor
			}
		}
		var page []tenantdb.ListInviteCodesRecentRow
		page, err = q.ListInviteCodesRecent(ctx, tenantdb.ListInviteCodesRecentParams{BeforeAt: before, BeforeCode: code, MaxRows: int32(limit)})
		for _, r := range page {
			rows = append(rows, tenantdb.ListInviteCodesForRow(r))
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("list invite codes: %w", err)
	}
	next, uses := "", 0
	more := len(rows) == limit
	for i, r := range rows {
		if uses += int(r.UsesTotal - r.UsesLeft); uses > maxUsesListed && i > 0 {
			rows, more = rows[:i], true // the page ends early: its codes were used by so many
			break
		}
	}
	if more {
		last := rows[len(rows)-1]
		next = last.CreatedAt.UTC().Format(time.RFC3339Nano)
		if byUsage {
			next = strconv.Itoa(int(last.UsesTotal - last.UsesLeft))
		}
		next += "::" + last.Code
	}
	out, err := withUses(ctx, q, rows)
	return out, next, err
}

// SetInvitesDisabled says whether an account gets new codes. An empty note leaves the one there is. Errors:
// [ErrNotFound].
func SetInvitesDisabled(ctx context.Context, q *tenantdb.Queries, did string, disabled bool, note string) error {
	a, err := q.GetActorTakedown(ctx, did)
	if db.IsNoRows(err) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", did, err)
	}
	if _, err := q.UpdateAccountInvitesDisabled(ctx, tenantdb.UpdateAccountInvitesDisabledParams{AID: a.AID, Disabled: disabled, Note: note}); err != nil {
		return fmt.Errorf("invites of %s: %w", did, err)
	}
	return nil
}

// DisableInvites makes codes unusable, one by one and by the account they are for. Unknown ones are passed over.
func DisableInvites(ctx context.Context, q *tenantdb.Queries, codes, accounts []string) error {
	valid := func(list []string) []string {
		out := []string{}
		for _, s := range list {
			if isText(s) {
				out = append(out, s)
			}
		}
		return out
	}
	if _, err := q.UpdateInviteCodesDisabled(ctx, tenantdb.UpdateInviteCodesDisabledParams{Codes: valid(codes), Accounts: valid(accounts)}); err != nil {
		return fmt.Errorf("disable invite codes: %w", err)
	}
	return nil
}

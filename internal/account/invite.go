package account

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// InviteAdmin is whom the operator's own codes are for and by.
const InviteAdmin = "admin"

// ErrInviteUses: a code is for one use at least.
var ErrInviteUses = errors.New("an invite code has at least one use")

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewInviteCode draws a code: the hostname with dashes for dots, then xxxxx-xxxxx (50 random bits).
func NewInviteCode(hostname string) string {
	tail := base32Lower.EncodeToString(random(7))
	return strings.ReplaceAll(hostname, ".", "-") + "-" + tail[:5] + "-" + tail[5:10]
}

// InsertInvite stores a code. forAccount is the DID of the account that may give it away, or [InviteAdmin]; when that
// account is taken down, the code is dead. Errors: [ErrInviteUses].
func InsertInvite(ctx context.Context, q *tenantdb.Queries, now time.Time, code string, uses int, forAccount, createdBy string) error {
	if uses < 1 || uses > math.MaxInt32 {
		return ErrInviteUses
	}
	err := q.InsertInviteCode(ctx, tenantdb.InsertInviteCodeParams{
		Code: code, UsesTotal: int32(uses), ForAccount: forAccount, CreatedBy: createdBy, CreatedAt: now,
	})
	if err != nil {
		return fmt.Errorf("insert invite code: %w", err)
	}
	return nil
}

// checkInvite looks whether a code could be used, before the costly part of a sign-up.
func checkInvite(ctx context.Context, q *tenantdb.Queries, code string) error {
	n, err := q.CountUsableInviteCodes(ctx, code)
	if err != nil {
		return fmt.Errorf("look for invite code: %w", err)
	}
	if n == 0 {
		return ErrInviteUnavailable
	}
	return nil
}

// useInvite takes one use for the account, inside its sign-up's transaction. Of two that race for the last one, one
// waits for the other and then finds none.
func useInvite(ctx context.Context, q *tenantdb.Queries, now time.Time, code string, aid int64) error {
	n, err := q.UpdateInviteCodeUsed(ctx, code)
	if err != nil {
		return fmt.Errorf("use invite code: %w", err)
	}
	if n == 0 {
		return ErrInviteUnavailable
	}
	if err := q.InsertInviteCodeUse(ctx, tenantdb.InsertInviteCodeUseParams{Code: code, AID: aid, UsedAt: now}); err != nil {
		return fmt.Errorf("note invite code use: %w", err)
	}
	return nil
}

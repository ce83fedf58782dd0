package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
)

// RefreshRow is what a refresh token says and its row says too.
type RefreshRow struct {
	TokenID   string
	ExpiresAt time.Time
}

// NewRefresh draws a token that does not exist yet; [InsertRefresh] makes it one.
func (s *Sessions) NewRefresh() RefreshRow {
	return RefreshRow{TokenID: NewTokenID(), ExpiresAt: s.now().Add(RefreshLife).UTC().Truncate(time.Second)}
}

// Hold keeps an account's sessions from being ended until the transaction is over, and gives the epochs for
// [Sessions.Mint]. A transaction that makes or prolongs a session does this first. Otherwise a session that is being
// made could outlive a change of the password. Errors: [ErrRevoked] when the account is gone.
func Hold(ctx context.Context, q *tenantdb.Queries, did string) (account.Epochs, error) {
	row, err := q.LockSessionEpoch(ctx, did)
	if db.IsNoRows(err) {
		return account.Epochs{}, ErrRevoked
	}
	if err != nil {
		return account.Epochs{}, fmt.Errorf("hold sessions of %s: %w", did, err)
	}
	return account.Epochs{Session: row.SessionEpoch, App: row.AppEpoch}, nil
}

// Until is a token that ends at a certain time, if that is not nil and earlier: an app password's.
func (r RefreshRow) Until(end *time.Time) RefreshRow {
	if end != nil && end.Before(r.ExpiresAt) {
		r.ExpiresAt = end.UTC().Truncate(time.Second)
	}
	return r
}

// InsertRefresh stores the first refresh token of a session. appPassword is the app password's name, nil for the main
// password.
func InsertRefresh(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, row RefreshRow, appPassword *string) error {
	err := q.InsertRefreshToken(ctx, tenantdb.InsertRefreshTokenParams{
		TokenID: row.TokenID, AID: aid, ExpiresAt: row.ExpiresAt, AppPasswordName: appPassword, CreatedAt: now,
	})
	if err != nil {
		return fmt.Errorf("insert refresh token: %w", err)
	}
	return nil
}

// Rotated is a session that goes on.
type Rotated struct {
	AID         int64
	AppPassword *string // its name, when the session began with one
	Next        RefreshRow
}

// Rotate uses a refresh token, inside the caller's transaction: the first use fixes the next token and leaves this one
// the grace; every later use within it gives the same next one. fresh is a token drawn before the transaction
// ([Sessions.NewRefresh]), so that a body run twice gives one answer. Errors: [ErrRevoked].
func Rotate(ctx context.Context, q *tenantdb.Queries, now time.Time, tokenID string, fresh RefreshRow) (Rotated, error) {
	row, err := q.LockRefreshToken(ctx, tokenID)
	if db.IsNoRows(err) {
		return Rotated{}, ErrRevoked
	}
	if err != nil {
		return Rotated{}, fmt.Errorf("lock refresh token: %w", err)
	}
	if !row.ExpiresAt.After(now) {
		return Rotated{}, ErrRevoked
	}
	out := Rotated{AID: row.AID, AppPassword: row.AppPasswordName, Next: fresh}
	if row.NextID != nil {
		next, err := q.GetRefreshToken(ctx, *row.NextID)
		// Signed out in the meantime: using an older token must not bring the session back.
		if db.IsNoRows(err) || err == nil && !next.ExpiresAt.After(now) {
			return Rotated{}, ErrRevoked
		}
		if err != nil {
			return Rotated{}, fmt.Errorf("next refresh token: %w", err)
		}
		out.Next = RefreshRow{TokenID: next.TokenID, ExpiresAt: next.ExpiresAt.UTC()}
		return out, nil
	}
	expires := now.Add(RefreshGrace)
	if row.ExpiresAt.Before(expires) {
		expires = row.ExpiresAt
	}
	if err := q.UpdateRefreshTokenUsed(ctx, tenantdb.UpdateRefreshTokenUsedParams{TokenID: tokenID, NextID: fresh.TokenID, ExpiresAt: expires}); err != nil {
		return Rotated{}, fmt.Errorf("use refresh token: %w", err)
	}
	if err := InsertRefresh(ctx, q, now, row.AID, fresh, row.AppPasswordName); err != nil {
		return Rotated{}, err
	}
	if _, err := q.DeleteExpiredRefreshTokensOf(ctx, tenantdb.DeleteExpiredRefreshTokensOfParams{AID: row.AID, Now: now}); err != nil {
		return Rotated{}, fmt.Errorf("clean refresh tokens: %w", err)
	}
	return out, nil
}

// Revoke ends the session a refresh token belongs to, whichever of its tokens is given. A token that is unknown or
// already revoked is no error.
func Revoke(ctx context.Context, q *tenantdb.Queries, tokenID string) error {
	row, err := q.GetRefreshToken(ctx, tokenID)
	if db.IsNoRows(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for refresh token: %w", err)
	}
	if _, err := q.LockRefreshTokensOf(ctx, row.AID); err != nil {
		return fmt.Errorf("lock refresh tokens: %w", err)
	}
	if _, err := q.DeleteRefreshTokenChain(ctx, tenantdb.DeleteRefreshTokenChainParams{TokenID: tokenID, AID: row.AID}); err != nil {
		return fmt.Errorf("delete refresh tokens: %w", err)
	}
	return nil
}

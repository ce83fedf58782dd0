package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// ConfirmEmail notes that an account's address was confirmed, if it still is this one. Errors: [ErrEmailOther].
func ConfirmEmail(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, email string) error {
	n, err := q.UpdateAccountEmailConfirmed(ctx, tenantdb.UpdateAccountEmailConfirmedParams{AID: aid, Email: strings.ToLower(strings.TrimSpace(email)), Now: now})
	if err != nil {
		return fmt.Errorf("confirm email of actor %d: %w", aid, err)
	}
	if n == 0 {
		return ErrEmailOther
	}
	return nil
}

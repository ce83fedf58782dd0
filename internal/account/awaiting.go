package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db/tenantdb"
)

// ErrAwaiting: 400 InvalidRequest "The account waits for approval". Its sign-up was not decided on yet.
var ErrAwaiting = errors.New("the account waits for approval")

// NotAwaiting refuses accounts whose sign-up was not decided on yet. Errors: [ErrAwaiting].
func NotAwaiting(ctx context.Context, q *tenantdb.Queries, aid int64) error {
	n, err := q.CountSignupRequestsOf(ctx, aid)
	if err != nil {
		return fmt.Errorf("look for sign-up request of actor %d: %w", aid, err)
	}
	if n > 0 {
		return ErrAwaiting
	}
	return nil
}

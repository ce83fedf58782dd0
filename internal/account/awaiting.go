package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/identity"
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

// Queue ends a sign-up without opening the account, instead of Finish: it is there, deactivated, and waits for
// [ApproveSignup] or its deletion. Its genesis operation waits with it.
func (s *Signup) Queue(ctx context.Context, q *tenantdb.Queries) error {
	genesis, err := identity.MarshalOperation(s.Genesis)
	if err != nil {
		return err
	}
	if err := q.UpdateActorQueued(ctx, tenantdb.UpdateActorQueuedParams{AID: s.AID, Now: s.CreatedAt}); err != nil {
		return fmt.Errorf("queue sign-up: %w", err)
	}
	if err := q.InsertSignupRequest(ctx, tenantdb.InsertSignupRequestParams{AID: s.AID, Genesis: string(genesis), CreatedAt: s.CreatedAt}); err != nil {
		return fmt.Errorf("queue sign-up: %w", err)
	}
	return nil
}

// SignupGenesis is the operation, as JSON, that makes the DID of an account that waits. Errors: [ErrNotFound].
func SignupGenesis(ctx context.Context, q *tenantdb.Queries, aid int64) ([]byte, error) {
	text, err := q.GetSignupGenesis(ctx, aid)
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("sign-up request of actor %d: %w", aid, err)
	}
	return []byte(text), nil
}

// ApproveSignup takes an account out of the queue, inside the transaction that activates it. Errors: [ErrNotFound]:
// somebody else decided.
func ApproveSignup(ctx context.Context, q *tenantdb.Queries, aid int64) error {
	if _, err := q.LockSignupRequest(ctx, aid); db.IsNoRows(err) {
		return ErrNotFound
	} else if err != nil {
		return fmt.Errorf("lock sign-up request of actor %d: %w", aid, err)
	}
	if err := q.DeleteSignupRequest(ctx, aid); err != nil {
		return fmt.Errorf("approve actor %d: %w", aid, err)
	}
	return nil
}

// Waiting is a sign-up that nobody has decided on.
type Waiting struct {
	AID    int64     `json:"-"`
	DID    string    `json:"did"`
	Handle string    `json:"handle"`
	Email  string    `json:"email"`
	Since  time.Time `json:"since"`
}

// ListWaiting lists sign-ups behind one of the page before (the zero Waiting at first), oldest first.
func ListWaiting(ctx context.Context, q *tenantdb.Queries, after Waiting, limit int) ([]Waiting, error) {
	rows, err := q.ListSignupRequests(ctx, tenantdb.ListSignupRequestsParams{AfterAt: after.Since, AfterAID: after.AID, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list sign-up requests: %w", err)
	}
	out := make([]Waiting, len(rows))
	for i, r := range rows {
		out[i] = Waiting{r.AID, r.DID, text(r.Handle), text(r.Email), r.CreatedAt}
	}
	return out, nil
}

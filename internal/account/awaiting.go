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

// ErrAwaiting: its sign-up was not decided on yet.
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

// Queue ends a sign-up in place of Finish. The account exists, is deactivated, and waits for a decision. Its genesis
// operation waits with it, and the language that the applicant reads. An account that moves here has no such operation.
// It stays deactivated after an approval, too.
func (s *Signup) Queue(ctx context.Context, q *tenantdb.Queries, lang string) error {
	var genesis []byte
	if !s.Moved {
		var err error
		if genesis, err = identity.MarshalOperation(s.Genesis); err != nil {
			return err
		}
	}
	if err := q.UpdateActorQueued(ctx, tenantdb.UpdateActorQueuedParams{AID: s.AID, Now: s.CreatedAt}); err != nil {
		return fmt.Errorf("queue sign-up: %w", err)
	}
	err := q.InsertSignupRequest(ctx, tenantdb.InsertSignupRequestParams{AID: s.AID, Genesis: string(genesis), Lang: lang, CreatedAt: s.CreatedAt})
	if err != nil {
		return fmt.Errorf("queue sign-up: %w", err)
	}
	return nil
}

// A decision on a sign-up is begun, then the PLC directory is told, then it is ended. The beginning is committed and
// keeps the other decision away. Whatever a crash leaves has an owner:
//
// 	approval    BeginApproval · the directory gets the genesis operation · ApproveSignup. Cut off: it waits as before, and
// 	            is approved or rejected again. One that moves here: ApproveSignup alone, the DID is not ours to make
// 	rejection   BeginRejection · a tombstone, if the directory may know the DID · Delete. Cut off: the sweep goes on
//
// A rejection keeps away from an approval that may still be talking to the directory.

// ErrDeciding: the sign-up is being approved, which takes a few minutes at most.
var ErrDeciding = errors.New("the sign-up is being approved")

// lockUndecided takes the row of a sign-up that nobody has rejected. Errors: [ErrNotFound]: somebody else decided.
func lockUndecided(ctx context.Context, q *tenantdb.Queries, aid int64) (tenantdb.LockSignupRequestRow, error) {
	row, err := q.LockSignupRequest(ctx, aid)
	switch {
	case db.IsNoRows(err), err == nil && row.RejectedAt != nil:
		return row, ErrNotFound
	case err != nil:
		return row, fmt.Errorf("lock sign-up request of actor %d: %w", aid, err)
	}
	return row, nil
}

// BeginApproval says that the directory is about to hear of the DID, and gives the operation, as JSON, that makes it.
// There is none for an account that moves here: the directory hears nothing of it, neither now nor when it is rejected.
// Approving twice at once is harmless. Errors: [ErrNotFound]: somebody else decided.
func BeginApproval(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) (genesis []byte, err error) {
	row, err := lockUndecided(ctx, q, aid)
	if err != nil {
		return nil, err
	}
	if row.Genesis == "" {
		return nil, nil
	}
	if err := q.UpdateSignupApproving(ctx, tenantdb.UpdateSignupApprovingParams{AID: aid, Now: now}); err != nil {
		return nil, fmt.Errorf("approve actor %d: %w", aid, err)
	}
	return []byte(row.Genesis), nil
}

// ApproveSignup takes an account out of the queue, inside the transaction that activates it, and gives the language that
// its owner reads. One that moves here gets its time until its owner activates it ([MovedLife]) instead. Errors:
// [ErrNotFound]: somebody else decided.
func ApproveSignup(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) (lang string, err error) {
	row, err := lockUndecided(ctx, q, aid)
	if err != nil {
		return "", err
	}
	if err := q.DeleteSignupRequest(ctx, aid); err != nil {
		return "", fmt.Errorf("approve actor %d: %w", aid, err)
	}
	if row.Genesis == "" {
		until := now.Add(MovedLife)
		if _, err := Deactivate(ctx, q, now, aid, &until); err != nil { // as it is: this sets the date
			return "", err
		}
	}
	return row.Lang, nil
}

// Rejected is a sign-up that is to vanish.
type Rejected struct {
	AID       int64
	DID       string
	Lang      string
	Announced bool // the directory may know the DID
}

// BeginRejection decides: [Rejections.Finish] does the rest, now or by the sweep. Errors: [ErrNotFound]: somebody else
// rejected it; [ErrDeciding]: or it was approved in this moment.
func BeginRejection(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, did string) (Rejected, error) {
	row, err := lockUndecided(ctx, q, aid)
	if errors.Is(err, ErrNotFound) && row.RejectedAt == nil {
		return Rejected{}, ErrDeciding
	}
	if err != nil {
		return Rejected{}, err
	}
	if row.ApprovingAt != nil && now.Sub(*row.ApprovingAt) < StaleAfter {
		return Rejected{}, ErrDeciding
	}
	if err := q.UpdateSignupRejected(ctx, tenantdb.UpdateSignupRejectedParams{AID: aid, Now: now}); err != nil {
		return Rejected{}, fmt.Errorf("reject actor %d: %w", aid, err)
	}
	return Rejected{aid, did, row.Lang, row.ApprovingAt != nil}, nil
}

// Waiting is a sign-up that nobody has decided on.
type Waiting struct {
	AID    int64     `json:"-"`
	DID    string    `json:"did"`
	Handle string    `json:"handle"`
	Email  string    `json:"email"`
	Since  time.Time `json:"since"`
	Moved  bool      `json:"moved"` // it brings a DID of its own from another server
}

// ListWaiting lists sign-ups behind one of the page before (the zero Waiting at first), oldest first.
func ListWaiting(ctx context.Context, q *tenantdb.Queries, after Waiting, limit int) ([]Waiting, error) {
	rows, err := q.ListSignupRequests(ctx, tenantdb.ListSignupRequestsParams{AfterAt: after.Since, AfterAID: after.AID, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list sign-up requests: %w", err)
	}
	out := make([]Waiting, len(rows))
	for i, r := range rows {
		out[i] = Waiting{AID: r.AID, DID: r.DID, Handle: text(r.Handle), Email: text(r.Email), Since: r.CreatedAt, Moved: r.Moved}
	}
	return out, nil
}

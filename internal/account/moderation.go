package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
)

// ErrSubjectNotFound: no such record or blob here.
var ErrSubjectNotFound = errors.New("no such subject")

// Takedown is what operators have said of an account, a record or a blob.
type Takedown struct {
	Applied bool
	Ref     string // whose decision it was, or when it was made
}

func takedownOf(ref *string) Takedown {
	if ref == nil {
		return Takedown{}
	}
	return Takedown{true, *ref}
}

func (t Takedown) stored() *string {
	if !t.Applied {
		return nil
	}
	return &t.Ref
}

// TakeDown hides an account, or shows it again as its owner left it, and ends its sessions: only the token that a
// sign-in with allowTakendown gives is good for anything, and invite codes made for it are dead by their own rule. It
// runs inside the caller's transaction and takes the actor's row first, so a commit that is on its way ends before. The
// caller appends the events last. Errors: [ErrNotFound].
func TakeDown(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, t Takedown) ([]firehose.Event, error) {
	row, err := q.UpdateActorTakedown(ctx, tenantdb.UpdateActorTakedownParams{AID: aid, TakedownRef: t.stored()})
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("take down actor %d: %w", aid, err)
	}
	if t.Applied {
		if _, err := q.DeleteRefreshTokens(ctx, aid); err != nil {
			return nil, fmt.Errorf("end sessions of actor %d: %w", aid, err)
		}
		if err := endApps(ctx, q, aid); err != nil {
			return nil, err
		}
	}
	return statusEvents(now, aid, row.DID, row.Unannounced, row.TakedownRef, row.DeactivatedAt), nil
}

// SayStatus tells again in what state an account is, inside the caller's transaction. Errors: [ErrNotFound].
func SayStatus(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) ([]firehose.Event, error) {
	row, err := q.LockActor(ctx, aid)
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("lock actor %d: %w", aid, err)
	}
	return statusEvents(now, aid, row.DID, row.Unannounced, row.TakedownRef, row.DeactivatedAt), nil
}

func statusEvents(now time.Time, aid int64, did string, unannounced bool, takedownRef *string, deactivatedAt *time.Time) []firehose.Event {
	if unannounced {
		return nil // nobody heard of it yet
	}
	status := ""
	switch {
	case takedownRef != nil:
		status = firehose.StatusTakendown
	case deactivatedAt != nil:
		status = firehose.StatusDeactivated
	}
	return []firehose.Event{firehose.NewAccount(aid, did, status == "", status, now)}
}

// TakeDownRecord hides one record from reads, or shows it again. The repository and its archive stay as they are, and
// subscribers are not told. Writing the record again does not bring it back. Errors: [ErrSubjectNotFound].
func TakeDownRecord(ctx context.Context, q *tenantdb.Queries, aid int64, path string, t Takedown) error {
	n, err := q.UpdateRecordTakedown(ctx, tenantdb.UpdateRecordTakedownParams{AID: aid, Path: path, TakedownRef: t.stored()})
	if err != nil {
		return fmt.Errorf("take down %s of actor %d: %w", path, aid, err)
	}
	if n == 0 {
		return ErrSubjectNotFound
	}
	return nil
}

// RecordTakedown is the state of a record and its CID, as 36 bytes. Errors: [ErrSubjectNotFound].
func RecordTakedown(ctx context.Context, q *tenantdb.Queries, aid int64, path string) (Takedown, []byte, error) {
	row, err := q.GetRecordTakedown(ctx, tenantdb.GetRecordTakedownParams{AID: aid, Path: path})
	if db.IsNoRows(err) {
		return Takedown{}, nil, ErrSubjectNotFound
	}
	if err != nil {
		return Takedown{}, nil, fmt.Errorf("look for %s of actor %d: %w", path, aid, err)
	}
	return takedownOf(row.TakedownRef), row.CID, nil
}

// State is what an account is beside its owner's data: taken down, deactivated.
type State struct {
	AID         int64
	Takedown    Takedown
	Deactivated bool
}

// StateOf says in what state an account is. Errors: [ErrNotFound].
func StateOf(ctx context.Context, q *tenantdb.Queries, did string) (State, error) {
	row, err := q.GetActorTakedown(ctx, did)
	if db.IsNoRows(err) {
		return State{}, ErrNotFound
	}
	if err != nil {
		return State{}, fmt.Errorf("look for %s: %w", did, err)
	}
	return State{row.AID, takedownOf(row.TakedownRef), row.DeactivatedAt != nil}, nil
}

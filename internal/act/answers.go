package act

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/keyring"
)

const (
	// answersFor is how long what was answered is kept.
	answersFor = 24 * time.Hour
	// answerBusy is how long a request may be on its way before its process is taken for dead.
	answerBusy = 2 * time.Minute
	answerRows = 1000
)

// Answers are what callers of the operator API were told, for a day, so that they may repeat a request whose answer they
// did not get.
type Answers struct {
	db  *db.DB
	now func() time.Time
}

// NewAnswers makes them.
func NewAnswers(d *db.DB, now func() time.Time) Answers { return Answers{d, now} }

// AnswerName is whose request it is, and which.
type AnswerName struct {
	Caller, Key string
	Digest      []byte // of the request
}

// Binding ties a kept answer, in which a new token may stand, to whom it was given.
func (n AnswerName) Binding() keyring.Binding {
	sum := sha256.Sum256([]byte(n.Key))
	return keyring.Binding{Schema: "control", Owner: n.Caller + ":" + hex.EncodeToString(sum[:8]), Purpose: "operator_answer"}
}

// Answer is what was told. Its text is sealed.
type Answer struct {
	Status      int // 0: it is on its way
	ContentType string
	Sealed      []byte
	Digest      []byte // of the request that it is to
}

// Hold takes a name for a request that begins (mine), or gives what is known under it.
func (a Answers) Hold(ctx context.Context, n AnswerName) (known *Answer, mine bool, err error) {
	q, now := a.db.Control(), a.now().UTC().Truncate(time.Microsecond)
	fresh, err := q.InsertIdempotency(ctx, controldb.InsertIdempotencyParams{Caller: n.Caller, Key: n.Key, Digest: n.Digest, Now: now, BusyUntil: now.Add(answerBusy)})
	if err == nil && fresh == 0 {
		fresh, err = q.UpdateIdempotencyTaken(ctx, controldb.UpdateIdempotencyTakenParams{
			Caller: n.Caller, Key: n.Key, Digest: n.Digest, Now: now, BusyUntil: now.Add(answerBusy), Stale: now.Add(-answersFor),
		})
	}
	if err != nil {
		return nil, false, fmt.Errorf("take an idempotency key: %w", err)
	}
	if fresh > 0 {
		return nil, true, nil
	}
	row, err := q.GetIdempotency(ctx, controldb.GetIdempotencyParams{Caller: n.Caller, Key: n.Key})
	if db.IsNoRows(err) { // dropped in this moment: the next look takes it
		return &Answer{Digest: n.Digest}, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read an idempotency key: %w", err)
	}
	return &Answer{int(row.Status), row.ContentType, row.Answer, row.Digest}, false, nil
}

// Keep stores what was answered.
func (a Answers) Keep(ctx context.Context, n AnswerName, what Answer) error {
	_, err := a.db.Control().UpdateIdempotencyDone(ctx, controldb.UpdateIdempotencyDoneParams{
		Caller: n.Caller, Key: n.Key, Digest: n.Digest, Status: int32(what.Status), ContentType: what.ContentType, Answer: what.Sealed,
	})
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return nil
}

// Drop lets the same request be made again.
func (a Answers) Drop(ctx context.Context, n AnswerName) error {
	if _, err := a.db.Control().DeleteIdempotency(ctx, controldb.DeleteIdempotencyParams{Caller: n.Caller, Key: n.Key}); err != nil {
		return fmt.Errorf("drop an idempotency key: %w", err)
	}
	return nil
}

// Forget deletes what is kept no longer.
func (a Answers) Forget(ctx context.Context) error {
	for {
		n, err := a.db.Control().DeleteIdempotencyBefore(ctx, controldb.DeleteIdempotencyBeforeParams{Stale: a.now().UTC().Add(-answersFor), MaxRows: answerRows})
		if err != nil {
			return fmt.Errorf("delete old answers: %w", err)
		}
		if n < answerRows {
			return nil
		}
	}
}

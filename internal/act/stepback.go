package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

const (
	actStepBack = "stream stepped back"
	// byItself is who acts when nobody asked.
	byItself = "locus"
	// maxNoted bounds the accounts that one line of the audit log names.
	maxNoted = 50
)

// StepBack tells consumers anew of the accounts whose events were lost with a database that had them: in what state the
// account is, what its handle is, and a #sync of a new commit of its repository as it is now. The commit is new because
// consumers drop what is not newer than what they have, and what they have may be lost. An account that does not exist
// any more is announced as deleted. What was lost is written into the audit log.
//
// Several processes do this at once, each for what it has seen: an account that was told anew since then is left alone.
func (a *Acts) StepBack(ctx context.Context, lost firehose.Lost) error {
	told := 0
	var names []string
	for _, who := range lost.Actors {
		did, done, err := a.tellAnew(ctx, lost, who)
		if err != nil {
			return fmt.Errorf("tell of actor %d of %s anew: %w", who.AID, lost.Schema, err)
		}
		if done {
			told++
		}
		if len(names) < maxNoted && did != "" {
			names = append(names, did)
		}
	}
	now := a.Now()
	detail := map[string]any{
		"from": lost.From, "to": lost.To, "events": lost.Events, "allKnown": lost.Complete, "numbersGivenOutAgain": lost.Again,
		"nextEvent": lost.Behind + 1, "timeline": lost.Timeline, "accounts": len(lost.Actors), "toldAnew": told, "dids": names,
	}
	err := a.DB.Tenant(lost.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return audit.Insert(ctx, q, audit.Entry{At: now.UTC(), Who: byItself, Action: actStepBack, Outcome: audit.Done}, int16(auth.RoleOwner), detail)
	})
	if err != nil {
		return err
	}
	a.Log.Info("accounts of lost events told anew", "schema", lost.Schema, "accounts", len(lost.Actors), "told", told)
	return nil
}

// tellAnew tells of one account. done is false if that has happened already.
func (a *Acts) tellAnew(ctx context.Context, lost firehose.Lost, who firehose.LostActor) (did string, done bool, err error) {
	_, err = a.Hub.Publish(ctx, a.DB.Tenant(lost.Schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
		did, done = who.DID, false
		events, have, err := teller{a.Keys, a.Now, lost.Schema, lost.Behind}.anew(ctx, q, who)
		if err != nil {
			return nil, err
		}
		if have != "" {
			did = have
		}
		done = len(events) > 0
		return events, nil
	})
	if err != nil {
		return did, false, err
	}
	return did, done, a.Repos.Forget(ctx, lost.Schema, who.AID)
}

// teller says what consumers have to be told of accounts whose events they know and the database does not.
type teller struct {
	keys   *keyring.Keyring
	now    func() time.Time
	schema db.Schema
	behind int64 // the last number that was passed over: a #sync with a higher one has told already
}

func (a teller) anew(ctx context.Context, q *tenantdb.Queries, who firehose.LostActor) (events []firehose.Event, did string, err error) {
	now := a.now()
	actor, err := q.LockActor(ctx, who.AID)
	if err != nil && !db.IsNoRows(err) {
		return nil, "", fmt.Errorf("lock actor: %w", err)
	}
	if err != nil || who.DID != "" && actor.DID != who.DID {
		return a.neverMade(ctx, q, who)
	}
	if synced, err := q.GetSyncedAfter(ctx, tenantdb.GetSyncedAfterParams{AID: who.AID, AfterSeq: a.behind}); err != nil || synced {
		return nil, actor.DID, err
	}
	if events, err = accounts.SayStatus(ctx, q, now, who.AID); err != nil || len(events) == 0 {
		return nil, actor.DID, err // nobody heard of it yet
	}
	handle := ""
	if actor.Handle != nil {
		handle = *actor.Handle
	}
	events = append(events, firehose.NewIdentity(who.AID, actor.DID, handle, now))
	key, err := q.GetSigningKey(ctx, who.AID)
	if err != nil {
		return nil, "", fmt.Errorf("signing key: %w", err)
	}
	signer, err := a.keys.Signer(a.schema.String(), who.AID, key.Sealed)
	if err != nil {
		return nil, "", err
	}
	at := now
	if newest := repo.TID(who.Rev).Time().Add(time.Millisecond); newest.After(at) {
		at = newest // made by a clock that is ahead of ours
	}
	head, block, err := repodb.Resign(ctx, q, who.AID, signer, at)
	if errors.Is(err, repodb.ErrRepoNotFound) {
		return events, actor.DID, nil
	}
	if err != nil {
		return nil, "", err
	}
	return append(events, firehose.NewSync(who.AID, actor.DID, head.Rev, head.CID, block, now)), actor.DID, nil
}

// neverMade is what is said of an account that was made, or moved here, in the part of the stream that is lost.
func (a teller) neverMade(ctx context.Context, q *tenantdb.Queries, who firehose.LostActor) ([]firehose.Event, string, error) {
	if who.DID == "" {
		return nil, "", nil // nobody knows who that was
	}
	there, err := accounts.StateOf(ctx, q, who.DID)
	switch {
	case err == nil && there.AID != who.AID:
		return nil, who.DID, nil // it came again
	case err != nil && !errors.Is(err, accounts.ErrNotFound):
		return nil, "", err
	}
	return []firehose.Event{firehose.NewAccount(0, who.DID, false, firehose.StatusDeleted, a.now())}, who.DID, nil
}

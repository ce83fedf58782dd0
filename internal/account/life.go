package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
)

// The changes of an account's state. Each runs inside the caller's transaction, takes the actor's row first and gives
// the events that tell of it: the caller appends them as the last thing it does, because that takes the tenant's one
// hot row.

// ErrDIDDocument: the DID document does not lead to this account. Its text is for the client.
var ErrDIDDocument = errors.New("DID document does not fit")

// HoldTime is how long a deactivated account is held at least, whatever date it is to be deleted at: its owner has time to
// come back. To be gone at once takes more than a session: the password and a mailed token.
const HoldTime = 3 * 24 * time.Hour

// Held is when an account that is deactivated now is deleted, of the date that was asked for.
func Held(deleteAfter, now time.Time) time.Time {
	if earliest := now.Add(HoldTime); deleteAfter.Before(earliest) {
		return earliest
	}
	return deleteAfter
}

// Deactivate hides an account until it is activated again. deleteAfter, if not nil, is when it is to be deleted
// unless that happens, by a job and not before [HoldTime]. Doing it twice keeps the first moment and takes the new date.
// OAuth clients lose their access: it is asked for anew when the account is back.
// Errors: [ErrNotFound].
func Deactivate(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, deleteAfter *time.Time) ([]firehose.Event, error) {
	if deleteAfter != nil {
		held := Held(*deleteAfter, now)
		deleteAfter = &held
	}
	row, err := q.UpdateActorDeactivated(ctx, tenantdb.UpdateActorDeactivatedParams{AID: aid, Now: now, DeleteAfter: deleteAfter})
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("deactivate actor %d: %w", aid, err)
	}
	if err := endApps(ctx, q, aid); err != nil {
		return nil, err
	}
	if row.Unannounced {
		return nil, nil // nobody heard of it yet: the DID lives elsewhere
	}
	status := firehose.StatusDeactivated
	if row.TakedownRef != nil {
		status = firehose.StatusTakendown // which outranks it
	}
	return []firehose.Event{firehose.NewAccount(aid, row.DID, false, status, now)}, nil
}

// Activate shows an account again, or for the first time if it moved here. Errors: [ErrNotFound], also for accounts
// that are taken down.
func Activate(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) ([]firehose.Event, error) {
	row, err := q.UpdateActorActivated(ctx, aid)
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("activate actor %d: %w", aid, err)
	}
	head, err := cid.Cast(row.HeadCID)
	if err != nil {
		return nil, fmt.Errorf("head of actor %d: %w", aid, err)
	}
	return []firehose.Event{
		firehose.NewAccount(aid, row.DID, true, "", now),
		firehose.NewIdentity(aid, row.DID, text(row.Handle), now),
		firehose.NewSync(aid, row.DID, repo.TID(row.HeadRev), head, row.HeadCommit, now),
	}, nil
}

// SetHandle gives an account another handle, or the one it has, also from a stale sign-up. The tenant itself vouches for it
// unless it is elsewhere. Errors: [ErrNotFound], [ErrHandleTaken] in a [TakenError], [ErrHandleDomain].
func SetHandle(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, handle string, elsewhere *tenant.Elsewhere) ([]firehose.Event, error) {
	if !elsewhere.Is(handle) {
		if err := holdNames(ctx, q, handle); err != nil {
			return nil, err
		}
	}
	if err := displaceStale(ctx, q, now, handle, ""); err != nil {
		return nil, err
	}
	row, err := q.UpdateActorHandle(ctx, tenantdb.UpdateActorHandleParams{AID: aid, Handle: handle})
	switch constraint, _ := db.IsUnique(err); {
	case constraint == "actor_handle_key":
		return nil, &TakenError{ErrHandleTaken, handle}
	case db.IsNoRows(err):
		return nil, ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("set handle of actor %d: %w", aid, err)
	}
	return []firehose.Event{firehose.NewIdentity(aid, row.DID, handle, now)}, nil
}

// Delete removes an account for good, but for the bulk of its repository and its earlier events, which [Purge] removes:
// nothing leads there any more. The last event stays, under an account key that nobody has. Accounts that moved
// here and were never activated go without a word: the DID lives elsewhere. Errors: [ErrNotFound].
func Delete(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) ([]firehose.Event, error) {
	a, err := q.LockActor(ctx, aid)
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("lock actor %d: %w", aid, err)
	}
	if err := q.UpdateInviteCodesOrphaned(ctx, a.DID); err != nil {
		return nil, fmt.Errorf("disable invite codes of actor %d: %w", aid, err)
	}
	if err := q.DeleteReservedKey(ctx, a.DID); err != nil {
		return nil, fmt.Errorf("delete reserved key of actor %d: %w", aid, err)
	}
	for _, step := range deletions(q) {
		if err := step(ctx, aid); err != nil {
			return nil, fmt.Errorf("delete actor %d: %w", aid, err)
		}
	}
	if err := q.InsertPurge(ctx, tenantdb.InsertPurgeParams{AID: aid, CreatedAt: now}); err != nil {
		return nil, fmt.Errorf("delete actor %d: %w", aid, err)
	}
	if a.Unannounced {
		return nil, nil
	}
	return []firehose.Event{firehose.NewAccount(aid, a.DID, false, firehose.StatusDeleted, now)}, nil
}

// deletions is everything of an account that goes at once, in an order that foreign keys allow. A new table with an
// aid belongs here or in Purge: TestDeleteLeavesNothing asks the database for all of them.
func deletions(q *tenantdb.Queries) []func(context.Context, int64) error {
	return []func(context.Context, int64) error{
		func(ctx context.Context, aid int64) error { _, err := q.DeleteRefreshTokens(ctx, aid); return err },
		func(ctx context.Context, aid int64) error { _, err := q.DeleteOAuthSessionsOf(ctx, aid); return err },
		q.DeleteOAuthRequestsOf, q.DeleteAccountItems, q.DeleteMailOf, q.DeleteInviteCodeUses, q.DeleteAccount, q.UpdateRecordTotalsGone, q.DeleteActor,
	}
}

// purgeSlice bounds what one transaction of a purge deletes from each table.
const purgeSlice = 2000

// Purge removes a slice of what is left of a deleted account, in a transaction of its own. done: there is no more, or
// another process is at it.
func Purge(ctx context.Context, q *tenantdb.Queries, aid int64) (done bool, err error) {
	if _, err := q.LockPurgeOf(ctx, aid); err != nil {
		if db.IsNoRows(err) {
			return true, nil
		}
		return false, fmt.Errorf("lock purge %d: %w", aid, err)
	}
	done = true
	for _, slice := range []func() (int64, error){
		func() (int64, error) { return firehose.DeleteEventsOf(ctx, q, aid, purgeSlice) },
		func() (int64, error) {
			return q.DeleteRecordsSlice(ctx, tenantdb.DeleteRecordsSliceParams{AID: aid, MaxRows: purgeSlice})
		},
		func() (int64, error) {
			return q.DeleteNodesSlice(ctx, tenantdb.DeleteNodesSliceParams{AID: aid, MaxRows: purgeSlice})
		},
		func() (int64, error) {
			return q.DeleteRecordBlobsSlice(ctx, tenantdb.DeleteRecordBlobsSliceParams{AID: aid, MaxRows: purgeSlice})
		},
		// The files themselves: the trash has them then.
		func() (int64, error) {
			return q.DeleteBlobsSlice(ctx, tenantdb.DeleteBlobsSliceParams{AID: aid, MaxRows: purgeSlice})
		},
	} {
		n, err := slice()
		if err != nil {
			return false, fmt.Errorf("purge %d: %w", aid, err)
		}
		done = done && n < purgeSlice
	}
	if done {
		if err := q.DeleteBlobUsage(ctx, aid); err != nil {
			return false, fmt.Errorf("end purge %d: %w", aid, err)
		}
		if err := q.DeleteAccountItems(ctx, aid); err != nil { // the mark of this purge, and whatever came too late
			return false, fmt.Errorf("end purge %d: %w", aid, err)
		}
	}
	return done, nil
}

// Signer opens an account's signing key. It asks the database: fetch it before a transaction begins.
func Signer(ctx context.Context, q *tenantdb.Queries, keys *keyring.Keyring, schema db.Schema, aid int64) (*keyring.Signer, error) {
	row, err := q.GetSigningKey(ctx, aid)
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("signing key of actor %d: %w", aid, err)
	}
	s, err := keys.Signer(schema.String(), aid, row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("signing key of actor %d: %w", aid, err)
	}
	return s, nil
}

// CheckDocument says whether a DID document leads to an account of this tenant with that signing key (did:key). It does
// not ask for the tenant's rotation key: whoever holds all keys to a DID may have it hosted here. Errors:
// [ErrDIDDocument].
// spec: account#pds-account-migration
func CheckDocument(doc *identity.Document, t *tenant.Tenant, signingKey string) error {
	if !t.IsAt(doc.PDS()) {
		return fmt.Errorf("%w: its #%s service is not %s", ErrDIDDocument, identity.ServicePDS, t.PublicURL)
	}
	key, err := doc.SigningKey()
	if err != nil {
		return fmt.Errorf("%w: it has no usable #%s key", ErrDIDDocument, identity.KeyAtproto)
	}
	if key != signingKey {
		return fmt.Errorf("%w: its #%s key is not the one that signs the repository here", ErrDIDDocument, identity.KeyAtproto)
	}
	return nil
}

package firehose

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// DeleteEventsOf empties up to limit events of an account that was deleted, the oldest first, all but its last one,
// which tells of the deletion. Their numbers stay, so that a missing one remains a sign of corruption. It returns how
// many it emptied. Fewer than limit means that there are no more.
func DeleteEventsOf(ctx context.Context, q *tenantdb.Queries, aid int64, limit int) (int64, error) {
	n, err := q.UpdateEventsToNothing(ctx, tenantdb.UpdateEventsToNothingParams{AID: aid, MaxRows: int32(limit)})
	if err != nil {
		return 0, fmt.Errorf("delete events of actor %d: %w", aid, err)
	}
	return n, nil
}

// Jump passes over the next by numbers, and as many account keys, for a tenant that was restored from a backup:
// consumers have numbers the backup does not, and must not get them again with other content. It answers the last
// number passed over, inside the caller's transaction. The tenant may be served meanwhile: a process that has seen more
// jumps behind that by itself.
func Jump(ctx context.Context, q *tenantdb.Queries, by int64, at time.Time) (last int64, err error) {
	return JumpPast(ctx, q, 0, by, at)
}

// JumpPast is Jump from the number seen on, where the stream has not come that far: consumers know numbers up to it.
func JumpPast(ctx context.Context, q *tenantdb.Queries, seen, by int64, at time.Time) (last int64, err error) {
	if by < 1 {
		return 0, fmt.Errorf("jump by %d: not forward", by)
	}
	if _, last, err = jump(ctx, q, seen, by, at); err != nil {
		return 0, fmt.Errorf("jump by %d: %w", by, err)
	}
	return last, nil
}

const (
	// dropBatch is how many events one transaction drops.
	dropBatch = 2000
	// dropPause lets others at the table, and vacuum follow.
	dropPause = 20 * time.Millisecond
)

// Drop deletes the events that are older than cut, in small transactions, and answers how many. One caller at a time is
// enough; more do no harm.
func Drop(ctx context.Context, t *db.Tenant, cut time.Time) (dropped int64, err error) {
	q := t.Q()
	first, err := q.GetEventAfter(ctx, 0)
	if db.IsNoRows(err) || err == nil && first.TimeUs >= cut.UnixMicro() {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("oldest event: %w", err)
	}
	upTo, err := beforeTime(ctx, q, cut.UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("edge of the window: %w", err)
	}
	for first.Seq <= upTo {
		to := min(first.Seq-1+dropBatch, upTo)
		n, err := q.DeleteEventsUpTo(ctx, to)
		if err != nil {
			return dropped, fmt.Errorf("drop events up to %d: %w", to, err)
		}
		dropped += n
		sleep(ctx, dropPause)
		// Not from 0 again: the dropped rows are still in the way there until vacuum has removed them.
		if first, err = q.GetEventAfter(ctx, to); db.IsNoRows(err) {
			return dropped, nil
		} else if err != nil {
			return dropped, fmt.Errorf("oldest event: %w", err)
		}
	}
	return dropped, nil
}

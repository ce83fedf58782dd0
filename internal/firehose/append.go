package firehose

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
)

// Append numbers the events and inserts them inside the caller's transaction,
// and returns the last number. It takes the tenant's one hot row, so it is the
// last thing the transaction does; the numbers are consecutive and in the order
// of visibility. After the commit, tell the Hub.
func Append(ctx context.Context, q *tenantdb.Queries, events ...Event) (last int64, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	if last, err = q.LockNextSeqs(ctx, int64(len(events))); err != nil {
		return 0, fmt.Errorf("take sequence numbers: %w", err)
	}
	arg := tenantdb.InsertEventsParams{First: last - int64(len(events)) + 1}
	for i := range events {
		e := &events[i]
		arg.Aids = append(arg.Aids, e.AID)
		arg.Kinds = append(arg.Kinds, int16(e.Kind))
		arg.Times = append(arg.Times, e.Time)
		arg.Revs = append(arg.Revs, int64(e.Rev))
		arg.SeqOffs = append(arg.SeqOffs, int32(e.SeqOff))
		arg.Payloads = append(arg.Payloads, e.Payload)
	}
	if err := q.InsertEvents(ctx, arg); err != nil {
		return 0, fmt.Errorf("insert events: %w", err)
	}
	return last, nil
}

// ListEvents reads up to limit events behind seq, in order. There are no holes:
// a number that is missing at the front was cut off by retention.
func ListEvents(ctx context.Context, q *tenantdb.Queries, seq int64, limit int) ([]Stored, error) {
	rows, err := q.ListEvents(ctx, tenantdb.ListEventsParams{AfterSeq: seq, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list events behind %d: %w", seq, err)
	}
	out := make([]Stored, len(rows))
	for i := range rows {
		out[i] = stored(rows[i].Seq, rows[i].AID, rows[i].Kind, rows[i].SequencedAt, rows[i].Rev, rows[i].SeqOff, rows[i].Payload)
	}
	return out, nil
}

// ListEventsOf is ListEvents for one account.
func ListEventsOf(ctx context.Context, q *tenantdb.Queries, aid, seq int64, limit int) ([]Stored, error) {
	rows, err := q.ListEventsOf(ctx, tenantdb.ListEventsOfParams{AID: aid, AfterSeq: seq, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list events of actor %d behind %d: %w", aid, seq, err)
	}
	out := make([]Stored, len(rows))
	for i := range rows {
		out[i] = stored(rows[i].Seq, rows[i].AID, rows[i].Kind, rows[i].SequencedAt, rows[i].Rev, rows[i].SeqOff, rows[i].Payload)
	}
	return out, nil
}

func stored(seq, aid int64, kind int16, at time.Time, rev int64, seqOff int32, payload []byte) Stored {
	return Stored{Seq: seq, Event: Event{AID: aid, Kind: Kind(kind), Time: at, Rev: repo.TID(rev), SeqOff: int(seqOff), Payload: payload}}
}

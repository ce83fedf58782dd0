package firehose

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
)

// Publish runs change in a transaction, appends its events as the last thing in it, and tells those who follow the tenant
// once it is committed. It gives the number of the last event, 0 if there was none. Beside the group commit of
// repositories it is the only way to append, so that nobody forgets to tell. change runs again where the transaction does.
func (h *Hub) Publish(ctx context.Context, t *db.Tenant, change func(q *tenantdb.Queries) ([]Event, error)) (last int64, err error) {
	err = t.Tx(ctx, func(q *tenantdb.Queries) error {
		last = 0
		events, err := change(q)
		if err == nil {
			last, err = appendTo(ctx, q, events)
		}
		return err
	})
	switch {
	case last > 0 && err == nil:
		// Committed: subscribers will see this.
		h.Notify(t.Schema(), last)
	case last > 0 && errors.Is(err, db.ErrUnknownOutcome):
		h.Doubt(t.Schema())
	}
	if err != nil {
		return 0, err
	}
	return last, nil
}

// appendTo numbers the events and inserts them inside a transaction, and returns the last number. It takes the tenant's
// one hot row, so it is the last thing the transaction does; the numbers are consecutive and in the order of visibility.
func appendTo(ctx context.Context, q *tenantdb.Queries, events []Event) (last int64, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	n := int64(len(events))
	at := events[0].Time
	for i := range events {
		if events[i].Time.After(at) {
			at = events[i].Time
		}
	}
	head, err := q.LockNextSeqs(ctx, tenantdb.LockNextSeqsParams{N: n, NowUs: at.UnixMicro()})
	if err != nil {
		return 0, fmt.Errorf("take sequence numbers: %w", err)
	}
	arg := tenantdb.InsertEventsParams{First: head.LastSeq - n + 1, FirstUs: head.LastUs - OpTimes*(n-1)}
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
	return head.LastSeq, nil
}

// ListEvents reads events behind seq, in order: up to limit, and no more than fit in maxBytes of payload, but at least
// one. Events of KindNothing are among them. A number that is missing at the front was cut off by retention; there are
// no other holes.
func ListEvents(ctx context.Context, q *tenantdb.Queries, seq int64, limit, maxBytes int) ([]Stored, error) {
	rows, err := q.ListEvents(ctx, tenantdb.ListEventsParams{AfterSeq: seq, MaxRows: int32(limit), MaxBytes: int64(maxBytes)})
	if err != nil {
		return nil, fmt.Errorf("list events behind %d: %w", seq, err)
	}
	return storedOf(rows), nil
}

// ListEventsOf lists one account's, without those of KindNothing.
func ListEventsOf(ctx context.Context, q *tenantdb.Queries, aid, seq int64, limit int) ([]Stored, error) {
	rows, err := q.ListEventsOf(ctx, tenantdb.ListEventsOfParams{AID: aid, AfterSeq: seq, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list events of actor %d behind %d: %w", aid, seq, err)
	}
	return storedOf(rows), nil
}

// ListNewestOf lists one account's commits and syncs behind a revision, the newest first: of the last limit of them,
// and no more than fit in maxBytes of payload.
func ListNewestOf(ctx context.Context, q *tenantdb.Queries, aid int64, rev repo.TID, limit, maxBytes int) ([]Stored, error) {
	rows, err := q.ListNewestEventsOf(ctx, tenantdb.ListNewestEventsOfParams{AID: aid, Rev: int64(rev), MaxRows: int32(limit), MaxBytes: int64(maxBytes)})
	if err != nil {
		return nil, fmt.Errorf("list newest events of actor %d: %w", aid, err)
	}
	return storedOf(rows), nil
}

func storedOf(rows []tenantdb.RepoEvent) []Stored {
	out := make([]Stored, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = Stored{Seq: r.Seq, TimeUS: r.TimeUs, Event: Event{
			AID: r.AID, Kind: Kind(r.Kind), Time: r.SequencedAt, Rev: repo.TID(r.Rev), SeqOff: int(r.SeqOff), Payload: r.Payload,
		}}
	}
	return out
}

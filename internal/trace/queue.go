package trace

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// queueSpans bounds what waits for the collector: a few megabytes.
	queueSpans = 4096
	// batchSpans is how many go at once, and sendEvery how long a few wait for more.
	batchSpans = 512
	sendEvery  = 2 * time.Second
	// sendTime bounds the wait for the collector's answer, lastTime that at the end of the process.
	sendTime = 10 * time.Second
	lastTime = 2 * time.Second
	// While the collector takes nothing it is asked again after pauseFirst, then after twice as long each time.
	pauseFirst = time.Second
	pauseMost  = time.Minute
)

// Stats say what became of the spans of this process.
type Stats struct {
	Sent    int64 // the collector has them
	Refused int64 // it did not take them, or did not answer
	Dropped int64 // there was no room for them while it did not answer
	Waiting int
}

// queue takes spans that have ended. It never makes who ends one wait: what does not fit is counted and let go.
type queue struct {
	waiting chan sdk.ReadOnlySpan
	to      sdk.SpanExporter
	now     func() time.Time
	log     *slog.Logger

	sent, refused, dropped atomic.Int64

	since time.Time // when the collector began to take nothing; zero: it takes them. Of run alone
}

func newQueue(to sdk.SpanExporter, now func() time.Time, log *slog.Logger) *queue {
	return &queue{waiting: make(chan sdk.ReadOnlySpan, queueSpans), to: to, now: now, log: log}
}

func (q *queue) stats() Stats {
	return Stats{q.sent.Load(), q.refused.Load(), q.dropped.Load(), len(q.waiting)}
}

// OnStart implements sdk.SpanProcessor.
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	select {
	case q.waiting <- s:
	default:
		q.dropped.Add(1)
	}
}

// ForceFlush and Shutdown implement sdk.SpanProcessor; [queue.run] does what there is to do.
func (q *queue) ForceFlush(context.Context) error { return nil }
func (q *queue) Shutdown(context.Context) error   { return nil }

func (q *queue) run(ctx context.Context) error {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	pause := pauseFirst
	for batch := []sdk.ReadOnlySpan(nil); ; {
		due := false
		select {
		case <-ctx.Done():
			q.last(batch)
			return ctx.Err()
		case s := <-q.waiting:
			batch = append(batch, s)
		case <-tick.C:
			due = true
		}
		if len(batch) == 0 || !due && len(batch) < batchSpans {
			continue
		}
		if q.send(ctx, sendTime, batch) {
			pause = pauseFirst
		} else {
			rest(ctx, pause) // meanwhile the queue fills
			pause = min(2*pause, pauseMost)
		}
		batch = nil
	}
}

// last sends what is left when the process ends.
func (q *queue) last(batch []sdk.ReadOnlySpan) {
	ctx, cancel := context.WithTimeout(context.Background(), lastTime)
	defer cancel()
	for {
		select {
		case s := <-q.waiting:
			if batch = append(batch, s); len(batch) < batchSpans {
				continue
			}
		default:
		}
		if len(batch) == 0 || !q.send(ctx, lastTime, batch) {
			return
		}
		batch = nil
	}
}

// send hands a batch to the collector. One that it does not take is gone: the next is newer.
func (q *queue) send(ctx context.Context, within time.Duration, batch []sdk.ReadOnlySpan) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	err := q.to.ExportSpans(ctx, batch)
	if err != nil {
		q.refused.Add(int64(len(batch)))
		if q.since.IsZero() {
			q.since = q.now()
			q.log.Warn("the collector of traces takes no spans; requests are not held up", "err", err)
		}
		return false
	}
	q.sent.Add(int64(len(batch)))
	if !q.since.IsZero() {
		q.log.Info("the collector of traces takes spans again", "after", q.now().Sub(q.since).Round(time.Second), "refused", q.refused.Load(), "dropped", q.dropped.Load())
		q.since = time.Time{}
	}
	return true
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

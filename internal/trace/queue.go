package trace

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
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
	// While the collector takes nothing it is asked again after pauseFirst, then after twice as long each time, or when it
	// says. After sendTries a batch is given up: the next is newer.
	pauseFirst = time.Second
	pauseMost  = time.Minute
	sendTries  = 8
)

// Stats say what became of the spans of this process.
type Stats struct {
	Sent    int64 // the collector has them
	Refused int64 // it did not take them, or did not answer for long
	Dropped int64 // there was no room for them while it did not answer
	Waiting int
}

// queue takes spans that have ended. It never makes who ends one wait: what does not fit is counted and let go.
type queue struct {
	waiting chan sdk.ReadOnlySpan
	to      sdk.SpanExporter
	now     func() time.Time
	rest    func(context.Context, time.Duration)
	log     *slog.Logger

	sent, refused, dropped atomic.Int64

	// Of run alone.
	since time.Time // when the collector began to take nothing; zero: it takes them
	some  bool      // it did not take all of the last batch
	pause time.Duration
}

func newQueue(to sdk.SpanExporter, now func() time.Time, log *slog.Logger) *queue {
	return &queue{waiting: make(chan sdk.ReadOnlySpan, queueSpans), to: to, now: now, rest: rest, log: log, pause: pauseFirst}
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
		batch = q.deliver(ctx, batch)
	}
}

// deliver sends a batch until the collector has it or refuses it, while the queue fills. What is left when ctx ends is
// given back.
func (q *queue) deliver(ctx context.Context, batch []sdk.ReadOnlySpan) []sdk.ReadOnlySpan {
	for tries := 1; ; tries++ {
		err := q.send(ctx, sendTime, batch)
		if err == nil {
			q.pause = pauseFirst
			return nil
		}
		var again *away
		if !errors.As(err, &again) || tries == sendTries {
			q.refused.Add(int64(len(batch)))
			batch = nil
		}
		pause := q.pause
		if again != nil {
			pause = min(max(pause, again.after), pauseMost)
		}
		q.pause = min(2*q.pause, pauseMost)
		q.rest(ctx, pause+rand.N(pause/4)) // not all processes at once
		if batch == nil || ctx.Err() != nil {
			return batch
		}
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
		if len(batch) == 0 {
			return
		}
		if err := q.send(ctx, lastTime, batch); err != nil {
			q.refused.Add(int64(len(batch)))
			return
		}
		batch = nil
	}
}

// send hands a batch to the collector, once. Errors: also [away]. The caller counts what it gives up.
func (q *queue) send(ctx context.Context, within time.Duration, batch []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	err := q.to.ExportSpans(ctx, batch)
	var some *partly
	if errors.As(err, &some) {
		n := min(some.refused, int64(len(batch)))
		q.refused.Add(n)
		q.sent.Add(int64(len(batch)) - n)
		if !q.some {
			q.log.Warn("the collector of traces refuses some spans", "spans", n, "of", len(batch))
		}
		q.some = true
		return nil
	}
	if err != nil {
		if q.since.IsZero() {
			q.since = q.now()
			q.log.Warn("the collector of traces takes no spans; requests are not held up", "err", err)
		}
		return err
	}
	q.sent.Add(int64(len(batch)))
	q.some = false
	if !q.since.IsZero() {
		q.log.Info("the collector of traces takes spans again", "after", q.now().Sub(q.since).Round(time.Second), "refused", q.refused.Load(), "dropped", q.dropped.Load())
		q.since = time.Time{}
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

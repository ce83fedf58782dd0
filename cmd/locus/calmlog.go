package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/trace"
	"github.com/auroralocus/locus/internal/xrpc"
)

// calm is a log that does not repeat itself: of warnings and errors with one message it writes so many a minute. Those
// beyond are counted, and the count follows as a line of its own. An outage that many requests meet is then a few lines
// and a number. It also adds the id of the request that a line is about.
type calm struct {
	below slog.Handler
	*calmness
}

type calmness struct {
	after            func(time.Duration, func())
	warnings, errors atomic.Int64 // all of them

	mu   sync.Mutex
	said map[string]*repeated // by level and message, of this minute
}

type repeated struct{ lines, unsaid int }

const (
	calmFor   = time.Minute
	calmLines = 10
	calmKinds = 1000 // messages are the program's own: there are fewer
)

func newCalm(below slog.Handler, after func(time.Duration, func())) calm {
	return calm{below, &calmness{after: after, said: map[string]*repeated{}}}
}

func (h calm) Enabled(ctx context.Context, l slog.Level) bool { return h.below.Enabled(ctx, l) }
func (h calm) WithAttrs(a []slog.Attr) slog.Handler           { return calm{h.below.WithAttrs(a), h.calmness} }
func (h calm) WithGroup(name string) slog.Handler             { return calm{h.below.WithGroup(name), h.calmness} }

func (h calm) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && !h.may(ctx, r) {
		return nil
	}
	if id := xrpc.RequestID(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("id", id))
	}
	if id := trace.ID(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("trace", id))
	}
	return h.below.Handle(ctx, r)
}

// may counts a line, and says whether it is written. Failed sign-ins always are: other programs count them.
func (h calm) may(ctx context.Context, r slog.Record) bool {
	if r.Level >= slog.LevelError {
		h.errors.Add(1)
	} else {
		h.warnings.Add(1)
	}
	if r.Message == act.FailedSignin {
		return true
	}
	key := r.Level.String() + r.Message
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.said[key]
	if one == nil {
		if len(h.said) >= calmKinds {
			return true
		}
		one = &repeated{}
		h.said[key] = one
		h.after(calmFor, func() { h.sum(context.WithoutCancel(ctx), key, r.Level, r.Message) })
	}
	if one.lines >= calmLines {
		one.unsaid++
		return false
	}
	one.lines++
	return true
}

// sum ends a minute of a message.
func (h calm) sum(ctx context.Context, key string, level slog.Level, message string) {
	h.mu.Lock()
	unsaid := h.said[key].unsaid
	delete(h.said, key)
	h.mu.Unlock()
	if unsaid > 0 {
		r := slog.NewRecord(time.Now(), level, "more of the same", 0)
		r.AddAttrs(slog.String("message", message), slog.Int("unsaid", unsaid))
		_ = h.below.Handle(ctx, r)
	}
}

// Package trace writes down where the time of a request, or of work in the background, went: as spans of OpenTelemetry,
// which a collector is sent by OTLP.
//
// Nothing is global. Who begins a trace puts it into a context ([Traces.Begin], [Traces.Work]); below, [Start] adds a span
// where the context is traced and costs a look at the context where it is not. A span says what was done and how long it
// took: names that are in the program, numbers, and codes of errors. It never holds what people sent or have: no
// parameter, no path, no address, no DID, no text of an error.
package trace

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otel "go.opentelemetry.io/otel/trace"
)

// spansOfOne bounds a trace: a job that runs for hours asks the database a million times.
const spansOfOne = 1000

// root is what all spans of a trace here share.
type root struct {
	tracer otel.Tracer
	spans  atomic.Int64
	first  Span
	over   atomic.Bool // nothing that begins from now on belongs to it
}

type rootKey struct{}

// Span is a piece of work that is written down. The zero value is one that is not; all its methods do nothing then.
type Span struct {
	span otel.Span
	root *root // of the first span of a trace here
}

// Kind says which side of a call a span is.
type Kind = otel.SpanKind

// The kinds.
const (
	Inside  = otel.SpanKindInternal
	Request = otel.SpanKindServer
	Call    = otel.SpanKindClient
)

// Start begins a span of what is traced in ctx, if anything is. The name is one of the program's, never a stranger's.
func Start(ctx context.Context, name string, kind Kind) (context.Context, Span) {
	r := of(ctx)
	if r == nil || r.spans.Add(1) > spansOfOne {
		return ctx, Span{}
	}
	ctx, span := r.tracer.Start(ctx, name, otel.WithSpanKind(kind))
	return ctx, Span{span: span}
}

// Joined is ctx with what is traced in from: for work that is done for many, as part of one's trace.
func Joined(ctx, from context.Context) context.Context {
	r := of(from)
	if r == nil {
		return ctx
	}
	return context.WithValue(otel.ContextWithSpan(ctx, otel.SpanFromContext(from)), rootKey{}, r)
}

// On tells whether ctx is traced.
func On(ctx context.Context) bool { return of(ctx) != nil }

// of is the trace that ctx is in; nil: none.
func of(ctx context.Context) *root {
	r, _ := ctx.Value(rootKey{}).(*root)
	if r == nil || r.over.Load() {
		return nil
	}
	return r
}

// ID is the trace's, in hex; "": nothing is traced.
func ID(ctx context.Context) string {
	if !On(ctx) {
		return ""
	}
	return otel.SpanContextFromContext(ctx).TraceID().String()
}

// Of is the span that ctx is in.
func Of(ctx context.Context) Span {
	if !On(ctx) {
		return Span{}
	}
	return Span{span: otel.SpanFromContext(ctx)}
}

// First is the first span, in this process, of the trace that ctx is in.
func First(ctx context.Context) Span {
	r := of(ctx)
	if r == nil {
		return Span{}
	}
	return r.first
}

// Name names the span anew.
func (s Span) Name(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Text adds a word: one of few that are known before anybody calls, or an id.
func (s Span) Text(key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Number adds a number.
func (s Span) Number(key string, value int64) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int64(key, value))
	}
}

// Failed marks the span as one whose work failed. Why is a code or a word of the program's: an error's text may hold what
// people sent.
func (s Span) Failed(why string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, why)
	}
}

// Part ends the first span of a trace here before what it began ends: a stream that somebody listens to for days is not
// traced, how it came about is. What begins under it from now on belongs to no trace.
func (s Span) Part() {
	s.End()
	if s.root != nil {
		s.root.over.Store(true)
	}
}

// End ends the span, once.
func (s Span) End() {
	if s.span == nil {
		return
	}
	if s.root != nil {
		if n := s.root.spans.Load(); n > spansOfOne {
			s.span.SetAttributes(attribute.Int64("locus.spans_left_out", n-spansOfOne))
		}
	}
	s.span.End()
}

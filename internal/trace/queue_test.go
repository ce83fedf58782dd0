package trace

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestDelivered: a collector that is away is asked again with the same spans, later each time or when it says; what it
// refuses is not sent twice.
func TestDelivered(t *testing.T) {
	type answer struct {
		status int
		after  string
	}
	var answers []answer
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := answers[min(asked, len(answers)-1)]
		asked++
		if a.after != "" {
			w.Header().Set("Retry-After", a.after)
		}
		w.WriteHeader(a.status)
	}))
	defer server.Close()
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	spans := tracetest.SpanStubs{{Name: "a"}, {Name: "b"}}.Snapshots()
	ok, busy := answer{status: 200}, answer{status: 503}
	for _, c := range []struct {
		answers []answer
		asked   int
		pauses  string // in seconds, without what is drawn
		stats   Stats
	}{
		{[]answer{ok}, 1, "[]", Stats{Sent: 2}},
		{[]answer{busy, {status: 429}, {status: 502}, {status: 504}, ok}, 5, "[1 2 4 8]", Stats{Sent: 2}},
		{[]answer{{503, "30"}, {503, "Fri, 01 May 2026 00:00:20 GMT"}, {503, "86400"}, {503, "-1"}, {503, "soon"}, ok}, 6, "[30 20 60 8 16]", Stats{Sent: 2}},
		{[]answer{{status: 401}}, 1, "[1]", Stats{Refused: 2}},
		{[]answer{busy, {status: 400}}, 2, "[1 2]", Stats{Refused: 2}},
		{[]answer{busy}, sendTries, "[1 2 4 8 16 32 60 60]", Stats{Refused: 2}},
	} {
		answers, asked = c.answers, 0
		var log bytes.Buffer
		q := newQueue(otlptrace.NewUnstarted(&uplink{cfg: Config{URL: server.URL, HTTP: server.Client(), Now: func() time.Time { return now }}}), func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
		var rested []time.Duration
		q.rest = func(_ context.Context, d time.Duration) { rested = append(rested, d) }
		if left := q.deliver(t.Context(), spans); left != nil {
			t.Errorf("%v: %d spans are left", c.answers, len(left))
		}
		want := strings.Fields(strings.Trim(c.pauses, "[]"))
		if asked != c.asked || len(rested) != len(want) || q.stats() != c.stats {
			t.Errorf("%v: asked %d times, rested %v, %+v", c.answers, asked, rested, q.stats())
			continue
		}
		for i, text := range want {
			var seconds int
			_, _ = fmt.Sscan(text, &seconds)
			least := time.Duration(seconds) * time.Second
			if rested[i] < least || rested[i] > least+least/4 {
				t.Errorf("%v: rested %v, not %s", c.answers, rested, c.pauses)
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines > 2 {
			t.Errorf("%v: the log says\n%s", c.answers, log.String())
		}
	}

	// A process that ends does not wait: what is left goes with the last.
	answers, asked = []answer{busy}, 0
	q := newQueue(otlptrace.NewUnstarted(&uplink{cfg: Config{URL: server.URL, HTTP: server.Client(), Now: time.Now}}), time.Now, slog.New(slog.DiscardHandler))
	ctx, end := context.WithCancel(t.Context())
	q.rest = func(context.Context, time.Duration) { end() }
	if left := q.deliver(ctx, spans); len(left) != 2 || q.stats() != (Stats{}) {
		t.Errorf("%d spans are left, %+v", len(left), q.stats())
	}
}

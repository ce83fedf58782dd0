package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/docs"
	"github.com/auroralocus/locus/internal/metrics"
)

// readyWithin is how long readiness waits for the database. readyFor is how long its answer is used again, so that
// frequent checks cost nothing, and keysFor the same of the master key.
const (
	readyWithin = 2 * time.Second
	readyFor    = time.Second
	keysFor     = 30 * time.Second
)

// health is what a process says of itself to those who decide whether it gets requests, and whether it is started anew.
// A tenant's state is not part of it: the others are served.
type health struct {
	mu    sync.Mutex // held while one asks: the others wait for the answer
	phase unready    // why nobody should come, whatever the checks say; zero: they decide
	looks []*look

	leaves atomic.Bool // it drains; apart from the mutex, which may be held for long
}

// unready is a reason not to send requests.
type unready struct{ part, why string }

// look is one thing that a process cannot serve without.
type look struct {
	unready
	ask   func(context.Context) error
	fresh time.Duration // how long an answer is used again

	asked time.Time
	err   error
}

// The phases of a process in which it takes no requests, whatever the database says.
var (
	phaseDatabase = unready{"starting", "waiting for the database"}
	phaseMigrate  = unready{"migrations", "the control schema is being brought up to date"}
	phaseParts    = unready{"starting", "the parts are being put together"}
	phaseDraining = unready{"draining", "this process is ending: it answers what it has"}
)

func newHealth() *health { return &health{phase: phaseDatabase} }

// enters says what the process is doing; the zero value is serving.
func (h *health) enters(phase unready) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = phase
	h.leaves.Store(phase == phaseDraining)
}

// serving says whether the process is in no phase of its own.
func (h *health) serving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.phase == (unready{})
}

// needs adds a check. The first that fails is told.
func (h *health) needs(part, why string, fresh time.Duration, ask func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks = append(h.looks, &look{unready: unready{part, why}, ask: ask, fresh: fresh})
}

// look says why the process should get no requests, or the zero value.
func (h *health) look(ctx context.Context) unready {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != (unready{}) {
		return h.phase
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyWithin)
	defer cancel()
	for _, l := range h.looks {
		if l.asked.IsZero() || time.Since(l.asked) >= l.fresh {
			l.err = l.ask(ctx)
			l.asked = time.Now()
		}
		if l.err != nil {
			return l.unready
		}
	}
	return unready{}
}

// over answers /livez and /readyz under any hostname, before anybody asks whose it is. Balancers call an address. While the
// process drains, each answer asks for a new connection, which leads to another process: one that is kept would be closed
// at the end, and the request that is just on its way with it.
func (h *health) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.leaves.Load() && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close")
		}
		switch r.URL.Path {
		case "/livez":
			say(w, r, unready{})
		case "/readyz":
			say(w, r, h.look(r.Context()))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// adminFace is what the machines that look after a process ask it, on a listener of its own: whether it lives, whether
// it should get requests, and its numbers; and the handbook for the people who look after it. It says nothing of accounts, and of tenants only what --metrics-tenants asks
// for.
func adminFace(m *metrics.Metrics, h *health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	mux.Handle("GET /docs/", docs.Handler())
	return h.over(mux)
}

func say(w http.ResponseWriter, r *http.Request, not unready) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", "application/json")
	status := "ok"
	if not != (unready{}) {
		status = "unready"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(struct { // a reader that has gone
		Status string `json:"status"`
		Part   string `json:"part,omitempty"`
		Reason string `json:"reason,omitempty"`
	}{status, not.part, not.why})
}

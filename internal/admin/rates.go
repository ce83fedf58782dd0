package admin

import (
	"net/netip"
	"sync"
	"time"
)

// What callers may do, counted by each process for itself.
const (
	perMinute  = 600 // requests of one token
	maxFails   = 30  // bad tokens of one address (of IPv6: one /64) in failWindow
	failWindow = 5 * time.Minute
	maxCounted = 20_000 // names in a window: beyond it new ones share one count
)

// window counts names until it is over.
type window struct {
	long  time.Duration
	ends  time.Time
	count map[string]int
}

// at adds n to a name's count and gives the sum.
func (w *window) at(now time.Time, name string, n int) int {
	if !now.Before(w.ends) {
		w.ends, w.count = now.Add(w.long), map[string]int{}
	}
	if _, ok := w.count[name]; !ok && len(w.count) >= maxCounted {
		name = ""
	}
	w.count[name] += n
	return w.count[name]
}

type rates struct {
	now func() time.Time

	mu     sync.Mutex
	tokens window
	fails  window
}

func newRates(now func() time.Time) *rates {
	return &rates{now: now, tokens: window{long: time.Minute}, fails: window{long: failWindow}}
}

// take counts a request of a token; wait is how long until there is room, 0: there is.
func (r *rates) take(token string) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.tokens.at(now, token, 1) <= perMinute {
		return 0
	}
	return r.tokens.ends.Sub(now)
}

func (r *rates) mayTry(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fails.at(r.now(), network(a), 0) < maxFails
}

func (r *rates) failed(a netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails.at(r.now(), network(a), 1)
}

func network(a netip.Addr) string {
	a = a.Unmap()
	if !a.Is6() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.String()
}

package limit

import (
	"net/netip"
	"sync"
	"time"
)

// What callers may do who bring tokens of operators, counted by each process for itself.
const (
	PerMinute  = 600 // requests of one token
	MaxFails   = 30  // bad tokens of one address (of IPv6: one /64) in FailWindow
	FailWindow = 5 * time.Minute
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

// Callers counts requests and bad tokens.
type Callers struct {
	now func() time.Time

	mu     sync.Mutex
	tokens window
	fails  window
}

// NewCallers counts nobody yet.
func NewCallers(now func() time.Time) *Callers {
	return &Callers{now: now, tokens: window{long: time.Minute}, fails: window{long: FailWindow}}
}

// Take counts a request of a token; wait is how long until there is room, 0: there is.
func (r *Callers) Take(token string) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.tokens.at(now, token, 1) <= PerMinute {
		return 0
	}
	return r.tokens.ends.Sub(now)
}

// MayTry says whether an address may bring another token.
func (r *Callers) MayTry(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fails.at(r.now(), Network(a), 0) < MaxFails
}

// Failed counts a bad token of an address.
func (r *Callers) Failed(a netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails.at(r.now(), Network(a), 1)
}

// Network is what an address is counted by: of IPv6 its /64.
func Network(a netip.Addr) string {
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

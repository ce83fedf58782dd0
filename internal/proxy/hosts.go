package proxy

import (
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/cache"
)

// A host that does not answer is left alone: after [failures] calls in a row without an answer the calls of that tenant
// to it are refused at once. When the pause is over one call at a time tries; an answer ends it, silence doubles the
// pause. What one tenant's callers find out is nobody else's: the host may refuse that tenant alone.
const (
	failures   = 5
	firstPause = 2 * time.Second
	longPause  = time.Minute
	hostsBytes = 2 << 20
)

type outcome int

const (
	nothing  outcome = iota // that says anything about the host
	answered                // whatever it said
	silent                  // no connection, or no answer in time
)

type hosts struct {
	now func() time.Time

	mu   sync.Mutex
	kept *cache.Cache[hostKey, *host] // only those that failed
}

type hostKey struct {
	schema db.Schema
	host   string
}

type host struct {
	failed  int
	pause   time.Duration // 0: it is asked
	until   time.Time
	probing bool
}

func newHosts(now func() time.Time) *hosts {
	return &hosts{now: now, kept: cache.New[hostKey, *host](hostsBytes, now)}
}

// may says whether a host is asked now, and whether the call is the one that tries whether it is back.
func (s *hosts) may(key hostKey) (probe *host, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, known := s.kept.Get(key)
	switch {
	case !known || h.pause == 0:
		return nil, true
	case h.probing || s.now().Before(h.until):
		return nil, false
	}
	h.probing = true
	return h, true
}

// told is what came of a call that may let pass.
func (s *hosts) told(key hostKey, probe *host, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, known := s.kept.Get(key)
	if probe != nil {
		probe.probing = false
	}
	switch {
	case o == answered && known:
		s.kept.Remove(key)
	case o != silent:
	case probe != nil:
		probe.pause = min(2*probe.pause, longPause)
		probe.until = s.now().Add(probe.pause)
	case !known:
		s.kept.Put(key.schema.String(), key, &host{failed: 1}, int64(64+len(key.host)))
	case h.pause == 0:
		if h.failed++; h.failed >= failures {
			h.pause, h.until = firstPause, s.now().Add(firstPause)
		}
	}
}

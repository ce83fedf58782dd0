package auth

import (
	"sync"
	"time"
)

const (
	// refetchEvery is how often one issuer's document is fetched because a token did not verify.
	refetchEvery = 10 * time.Second
	// refetchMost is how often that happens in such a time for all issuers together.
	refetchMost = 200
	// maxRefetched is how many issuers are remembered. Beyond it all are forgotten; refetchMost holds still.
	maxRefetched = 10_000
)

// refetch remembers whose documents were fetched a moment ago, and who had none. It is one process's.
type refetch struct {
	mu    sync.Mutex
	seen  map[string]fetched // by DID
	since time.Time          // when count began
	count int
}

type fetched struct {
	at      time.Time
	missing bool
}

// may says whether the issuer's document may be fetched now, and remembers that it is.
func (r *refetch) may(did string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.since) >= refetchEvery {
		r.since, r.count = now, 0
	}
	if f, ok := r.seen[did]; ok && recent(f, now) || r.count >= refetchMost {
		return false
	}
	r.count++
	r.note(did, fetched{at: now})
	return true
}

// missing says whether the issuer had no document a moment ago.
func (r *refetch) missing(did string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.seen[did]
	return ok && f.missing && recent(f, now)
}

// miss remembers that the issuer has none.
func (r *refetch) miss(did string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(did, fetched{now, true})
}

func (r *refetch) note(did string, f fetched) {
	if r.seen == nil {
		r.seen = map[string]fetched{}
	}
	if len(r.seen) >= maxRefetched {
		for k, old := range r.seen {
			if !recent(old, f.at) {
				delete(r.seen, k)
			}
		}
		if len(r.seen) >= maxRefetched {
			clear(r.seen)
		}
	}
	r.seen[did] = f
}

func recent(f fetched, now time.Time) bool { return now.Sub(f.at) < refetchEvery }

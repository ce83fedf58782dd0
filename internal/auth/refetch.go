package auth

import (
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/cache"
)

const (
	// refetchEvery is how often one issuer's document is fetched because a token did not verify. [identity.Asker]
	// bounds how often it happens for one address and one tenant.
	refetchEvery = 10 * time.Second
	// refetchBytes bounds the issuers that are remembered. One that is forgotten may be asked for again.
	refetchBytes = 2 << 20
)

// refetch remembers whose documents were fetched a moment ago. It is one process's.
type refetch struct {
	mu   sync.Mutex
	seen *cache.Cache[string, time.Time] // by DID
}

func newRefetch(now func() time.Time) *refetch {
	return &refetch{seen: cache.New[string, time.Time](refetchBytes, now)}
}

// may says whether the issuer's document may be fetched now, and remembers that it is.
func (r *refetch) may(scope, did string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.seen.Get(did); ok && now.Sub(at) < refetchEvery {
		return false
	}
	r.seen.Put(scope, did, now, int64(len(did))+24)
	return true
}

package repodb

import (
	"math/bits"
	"sync/atomic"

	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/fair"
)

// Stats say what a store did since it was made.
type Stats struct {
	Commits int64 // of repositories
	Groups  int64 // transactions that they were folded into
	Failed  int64 // groups whose transaction failed
	Lost    int64 // commits that were built on a head that another process had changed, and were built again
	Waiting int   // commits now
	Cached  int64 // bytes of the repositories that are remembered
}

// groupSizes are the upper ends of the sizes that groups are counted by; larger ones come last.
var groupSizes = [...]int{1, 2, 4, 8, 16, 32, 64, 128}

type counts struct {
	commits, groups, lost, failed atomic.Int64
	sizes                         [len(groupSizes) + 1]atomic.Int64
}

// committed counts a group of tried commits, of which won took place.
func (c *counts) committed(tried, won int) {
	c.groups.Add(1)
	c.sizes[min(bits.Len(uint(max(tried-1, 0))), len(groupSizes))].Add(1)
	c.commits.Add(int64(won))
	c.lost.Add(int64(tried - won))
}

// GroupSizes is how many groups had at most so many commits, by that number, those of fewer not among them; the last
// count is of all larger groups.
func (s *Store) GroupSizes() (upTo []int, groups []int64) {
	for i := range s.counts.sizes {
		groups = append(groups, s.counts.sizes[i].Load())
	}
	return groupSizes[:], groups
}

// CacheStats say how the heads and nodes that are remembered are used.
func (s *Store) CacheStats() cache.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos.Stats()
}

// Gates are what exports, imports and their files on disk wait for, by name.
func (s *Store) Gates() map[string]fair.Stats {
	return map[string]fair.Stats{
		"exports": s.reading.Stats(), "imports": s.importing.Stats(), "export_spools": s.spools.Stats(), "export_disk": s.disk.Stats(),
	}
}

// Stats asks the database nothing.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.groups {
		n += len(c.queue)
	}
	return Stats{
		Commits: s.counts.commits.Load(), Groups: s.counts.groups.Load(), Lost: s.counts.lost.Load(), Failed: s.counts.failed.Load(),
		Waiting: n, Cached: s.repos.Bytes(),
	}
}

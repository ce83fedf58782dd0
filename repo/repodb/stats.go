package repodb

import "sync/atomic"

// Stats say what a store did since it was made.
type Stats struct {
	Commits int64 // of repositories
	Groups  int64 // transactions that they were folded into
	Lost    int64 // commits that were built on a head that another process had changed, and were built again
	Waiting int   // commits now
	Cached  int64 // bytes of the repositories that are remembered
}

type counts struct{ commits, groups, lost atomic.Int64 }

// committed counts a group of tried commits, of which won took place.
func (c *counts) committed(tried, won int) {
	c.groups.Add(1)
	c.commits.Add(int64(won))
	c.lost.Add(int64(tried - won))
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
		Commits: s.counts.commits.Load(), Groups: s.counts.groups.Load(), Lost: s.counts.lost.Load(),
		Waiting: n, Cached: s.repos.Bytes(),
	}
}

package certs

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
)

// countEvery is how often certificates are counted.
const countEvery = time.Minute

// Stats are of the deployment's certificates, as of the last minute, and of this process's orders.
type Stats struct {
	Present, Waiting, Failing int64     // there; wanted for the first time; whose last order failed
	Expires                   time.Time // of those that are there, the first; zero: none is
	Issued, Failed, Outages   int64     // orders of this process, by what came of them
}

type counts struct {
	gauge                   atomic.Pointer[Stats]
	issued, failed, outages atomic.Int64
}

// Stats asks the database nothing.
func (m *Manager) Stats() (s Stats) {
	if g := m.counts.gauge.Load(); g != nil {
		s = *g
	}
	s.Issued, s.Failed, s.Outages = m.counts.issued.Load(), m.counts.failed.Load(), m.counts.outages.Load()
	return s
}

// count counts certificates until the context ends.
func (m *Manager) count(ctx context.Context) {
	for {
		g, err := m.db.Control().GetTLSGauge(ctx)
		if err == nil {
			s := Stats{Present: g.Present, Waiting: g.Waiting, Failing: g.Failing}
			if g.ExpiresAt.Unix() > 0 {
				s.Expires = g.ExpiresAt
			}
			m.counts.gauge.Store(&s)
		} else if ctx.Err() == nil && !db.IsUnavailable(err) {
			m.cfg.Log.Warn("certificates cannot be counted", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-m.counted:
		case <-time.After(countEvery):
		}
	}
}

// recount has certificates counted now: something about one has changed.
func (m *Manager) recount() {
	select {
	case m.counted <- struct{}{}:
	default:
	}
}

// Stats of files: how many certificates there are, and when the first of them expires.
func (f *Files) Stats() (s Stats) {
	for _, c := range f.now.Load().certs {
		s.Present++
		if s.Expires.IsZero() || c.Leaf.NotAfter.Before(s.Expires) {
			s.Expires = c.Leaf.NotAfter
		}
	}
	return s
}

package db

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolStats says how a pool of connections is used.
type PoolStats struct {
	Open, InUse, Most int           // connections now, those that work, and how many there may be
	Waits             int64         // how often none was idle
	Waited            time.Duration // for connections, in all
}

// Names of pools, as Stats is asked for them.
const (
	PoolControl = "control"
	PoolTenants = "tenants" // all sub-pools together
	PoolStreams = "streams"
	PoolAdmin   = "admin"
	// PoolBackground is of what no request waits for.
	PoolBackground = "background"
)

// Pools are the names of all pools.
var Pools = []string{PoolControl, PoolTenants, PoolStreams, PoolAdmin, PoolBackground}

// Stats is how the named pool is used since the start, of all servers together; of another name all is zero. It asks the server nothing.
func (d *DB) Stats(name string) PoolStats {
	var pools []*pool
	if name == PoolControl {
		pools = append(pools, d.control)
	}
	for _, s := range d.fleet.Load().servers {
		switch name {
		case PoolTenants:
			pools = append(pools, s.tenants...)
		case PoolStreams:
			pools = append(pools, s.streams)
		case PoolAdmin:
			pools = append(pools, s.admin)
		case PoolBackground:
			pools = append(pools, s.background)
		}
	}
	var sum PoolStats
	for _, p := range pools {
		sum.add(p.Stat())
	}
	return sum
}

func (s *PoolStats) add(p *pgxpool.Stat) {
	s.Open += int(p.TotalConns())
	s.InUse += int(p.AcquiredConns())
	s.Most += int(p.MaxConns())
	s.Waits += p.EmptyAcquireCount()
	s.Waited += p.EmptyAcquireWaitTime()
}

// Answers is false from the first request that the control schema's server did not answer until one that it did: what the
// log tells as an outage. It asks the server nothing.
func (d *DB) Answers() bool { return !d.home.health.reach.on.Load() }

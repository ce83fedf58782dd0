package db

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/auroralocus/locus/internal/fair"
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

// NodeStats is [DB.Stats] of one server: node 1 is the control schema's.
type NodeStats struct {
	Node int32
	Pool string
	PoolStats
}

// StatsByNode is how each server's pools are used.
func (d *DB) StatsByNode() (out []NodeStats) {
	for node, s := range d.fleet.Load().servers {
		for _, name := range Pools {
			var sum PoolStats
			for _, p := range s.named(name) {
				sum.of(p)
			}
			if name == PoolControl && s == d.home {
				sum.add(d.control.Stat())
			} else if name == PoolControl {
				continue
			}
			out = append(out, NodeStats{node, name, sum})
		}
	}
	return out
}

// Gates are what waits for connections that tenants share, by pool, of all servers together.
func (d *DB) Gates() map[string]fair.Stats {
	out := map[string]fair.Stats{}
	for _, s := range d.fleet.Load().servers {
		for _, name := range Pools {
			for _, p := range s.named(name) {
				if p.places == nil {
					continue
				}
				sum, now := out[name], p.places.Stats()
				sum.Size, sum.Used, sum.Waiting, sum.Refused = sum.Size+now.Size, sum.Used+now.Used, sum.Waiting+now.Waiting, sum.Refused+now.Refused
				out[name] = sum
			}
		}
	}
	return out
}

// named are a server's pools of a name.
func (s *server) named(name string) []*pool {
	switch name {
	case PoolTenants:
		return s.tenants
	case PoolStreams:
		return []*pool{s.streams}
	case PoolAdmin:
		return []*pool{s.admin}
	case PoolBackground:
		return []*pool{s.background}
	}
	return nil
}

// Stats is how the named pool is used since the start, of all servers together; of another name all is zero. It asks the server nothing.
func (d *DB) Stats(name string) PoolStats {
	var pools []*pool
	if name == PoolControl {
		pools = append(pools, d.control)
	}
	for _, s := range d.fleet.Load().servers {
		pools = append(pools, s.named(name)...)
	}
	var sum PoolStats
	for _, p := range pools {
		sum.of(p)
	}
	return sum
}

func (s *PoolStats) of(p *pool) {
	s.add(p.Stat())
	if p.kept != nil {
		s.add(p.kept.Stat())
	}
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

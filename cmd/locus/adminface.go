package main

import (
	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/metrics"
)

// show says where each number is.
func (a *app) show(m *metrics.Metrics) {
	number := func(n int) float64 { return float64(n) }
	for _, name := range db.Pools {
		of, stats := m.Of("pool", name), func() db.PoolStats { return a.db.Stats(name) }
		of.Gauge("postgres_connections", "Connections to Postgres that are open, by pool.", func() float64 { return number(stats().Open) })
		of.Gauge("postgres_connections_in_use", "Of them, those that work.", func() float64 { return number(stats().InUse) })
		of.Gauge("postgres_connections_most", "How many there may be.", func() float64 { return number(stats().Most) })
		of.Counter("postgres_connection_waits_total", "How often no connection was idle.", func() float64 { return float64(stats().Waits) })
		of.Counter("postgres_connection_wait_seconds_total", "Time waited for connections.", func() float64 { return stats().Waited.Seconds() })
	}
	a.showReplicas(m)
	m.Gauge("postgres_up", "1, or 0 while Postgres does not answer requests.", func() float64 {
		if a.db.Answers() {
			return 1
		}
		return 0
	})
	m.Counter("commits_total", "Commits of repositories.", func() float64 { return float64(a.repos.Stats().Commits) })
	m.Counter("commit_groups_total", "Transactions that these commits were folded into.", func() float64 { return float64(a.repos.Stats().Groups) })
	m.Counter("commits_lost_total", "Commits built again because another process had changed the repository.", func() float64 { return float64(a.repos.Stats().Lost) })
	m.Gauge("commits_waiting", "Commits that wait for their group.", func() float64 { return number(a.repos.Stats().Waiting) })
	m.Gauge("repository_cache_bytes", "Memory of the repositories' heads and nodes that are remembered.", func() float64 { return float64(a.repos.Stats().Cached) })
	m.Gauge("stream_subscribers", "Consumers of the streams of events.", func() float64 { return number(a.streams.Stats().Subscribers) })
	m.Gauge("stream_tenants", "Tenants whose events are kept in memory for consumers.", func() float64 { return number(a.streams.Stats().Tenants) })
	m.Gauge("answer_memory_bytes", "Memory of the answers that are being made and read.", func() float64 { return float64(a.memory.Used()) })
	m.Counter("password_hashes_total", "Passwords hashed or compared.", func() float64 { return float64(a.passwords.Hashes()) })
	for name, read := range map[string]func() int64{
		"sent":     func() int64 { return a.outbox.Stats().Sent },
		"retried":  func() int64 { return a.outbox.Stats().Retried },
		"given_up": func() int64 { return a.outbox.Stats().GivenUp },
	} {
		m.Of("outcome", name).Counter("mail_attempts_total", "Attempts to send a message, by what came of them.", func() float64 { return float64(read()) })
	}
}

// showReplicas shows the replicas of databases, all together: which one lags the log says, and 'locus node list'.
func (a *app) showReplicas(m *metrics.Metrics) {
	sum := func(of func(db.ReplicaState) float64) func() float64 {
		return func() (n float64) {
			for _, r := range a.db.Replicas() {
				n += of(r)
			}
			return n
		}
	}
	m.Gauge("replicas", "Replicas that this process was given.", sum(func(db.ReplicaState) float64 { return 1 }))
	m.Gauge("replicas_usable", "Of them, those that are new enough to be asked.", sum(func(r db.ReplicaState) float64 {
		if r.Usable {
			return 1
		}
		return 0
	}))
	m.Gauge("replica_lag_seconds", "Age of what the oldest usable replica has.", func() (oldest float64) {
		for _, r := range a.db.Replicas() {
			if r.Usable {
				oldest = max(oldest, r.Age.Seconds())
			}
		}
		return oldest
	})
	m.Counter("replica_reads_total", "Statements and transactions that replicas answered.", sum(func(r db.ReplicaState) float64 { return float64(r.Reads) }))
	for name, read := range map[string]func() float64{
		"failed": sum(func(r db.ReplicaState) float64 { return float64(r.Retried) }),
		"behind": sum(func(r db.ReplicaState) float64 { return float64(r.Waived) }),
		"none":   func() float64 { return float64(a.db.ReplicaMisses()) },
	} {
		m.Of("why", name).Counter("replica_misses_total", "Reads that a replica might have answered and the primary did: it failed, it lacked what was asked for, or none was new enough.", read)
	}
}

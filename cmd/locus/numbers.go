package main

import (
	"strconv"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/certs"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/metrics"
)

// show says where each number is. Rooms count by themselves and know nothing of who looks.
func (a *app) show(m *metrics.Metrics) {
	a.showPostgres(m)
	a.showReplicas(m)
	a.showCommits(m)
	a.showStreams(m)
	a.showWork(m)
	a.showFiles(m)
	a.showShares(m)
	m.ShowBy(metrics.Gauge, "tenants", "Tenants of the deployment, by state.", []string{"state"}, func(emit func(float64, ...string)) {
		for state, n := range a.tenants.Stats() {
			emit(float64(n), state)
		}
	})
	m.ShowBy(metrics.Counter, "limit_refusals_total", "Calls that were refused for a limit, by the limit's name (docs/limits.md).", []string{"limit"}, func(emit func(float64, ...string)) {
		refused := a.limits.Refused()
		refused["global"] += 0 // there from the start
		for name, n := range refused {
			emit(float64(n), name)
		}
	})
	m.ShowBy(metrics.Counter, "log_lines_total", "Lines of the log at level warn and error, those that were left out for being many among them.", []string{"level"}, func(emit func(float64, ...string)) {
		if a.counted != nil {
			emit(float64(a.counted.warnings.Load()), "warn")
			emit(float64(a.counted.errors.Load()), "error")
		}
	})
}

// showDoctor is of the doctor's last visit; visits is nil where this process makes none.
func showDoctor(m *metrics.Metrics, visits *doctor.Nightly, itself *doctor.Itself) {
	if visits == nil {
		visits = &doctor.Nightly{}
	}
	m.ShowBy(metrics.Gauge, "doctor_findings", "What the doctor found at its last visit, by severity: the same from all processes.", []string{"severity"}, func(emit func(float64, ...string)) {
		last := visits.Counts()
		emit(float64(last.Errors), string(doctor.Error))
		emit(float64(last.Warnings), string(doctor.Warning))
	})
	m.ShowBy(metrics.Gauge, "node_findings", "What this process finds about itself and its machine, by check and severity: clock, disk, files, the key, how slow Postgres is. It looks every five minutes.", []string{"check", "severity"}, func(emit func(float64, ...string)) {
		for by, n := range itself.Counts() {
			emit(float64(n), by[0], by[1])
		}
	})
	m.Show(metrics.Gauge, "doctor_looked_timestamp_seconds", "When that visit ended, in seconds since 1970; 0: there was none.", func() float64 {
		last := visits.Counts()
		if last.Ended.IsZero() {
			return 0
		}
		return float64(last.Ended.Unix())
	})
}

func (a *app) showPostgres(m *metrics.Metrics) {
	pools := func(kind metrics.Kind, name, help string, read func(db.PoolStats) float64) {
		m.ShowBy(kind, name, help, []string{"node", "pool"}, func(emit func(float64, ...string)) {
			for _, s := range a.db.StatsByNode() {
				emit(read(s.PoolStats), strconv.Itoa(int(s.Node)), s.Pool)
			}
		})
	}
	pools(metrics.Gauge, "postgres_connections", "Connections to Postgres that are open, by node and pool. Node 1 is the one with the control schema.", func(s db.PoolStats) float64 { return float64(s.Open) })
	pools(metrics.Gauge, "postgres_connections_in_use", "Of them, those that work.", func(s db.PoolStats) float64 { return float64(s.InUse) })
	pools(metrics.Gauge, "postgres_connections_most", "How many there may be.", func(s db.PoolStats) float64 { return float64(s.Most) })
	pools(metrics.Counter, "postgres_connection_waits_total", "How often no connection was idle.", func(s db.PoolStats) float64 { return float64(s.Waits) })
	pools(metrics.Counter, "postgres_connection_wait_seconds_total", "Time waited for connections.", func(s db.PoolStats) float64 { return s.Waited.Seconds() })
	m.Show(metrics.Gauge, "postgres_up", "1, or 0 while Postgres does not answer requests.", func() float64 {
		if a.db.Answers() {
			return 1
		}
		return 0
	})
}

func (a *app) showCommits(m *metrics.Metrics) {
	m.Show(metrics.Counter, "commits_total", "Commits of repositories; each is an event of its tenant's stream.", func() float64 { return float64(a.repos.Stats().Commits) })
	m.Show(metrics.Counter, "commit_groups_failed_total", "Transactions of commits that failed.", func() float64 { return float64(a.repos.Stats().Failed) })
	m.Show(metrics.Counter, "commits_lost_total", "Commits built again because another process had changed the repository.", func() float64 { return float64(a.repos.Stats().Lost) })
	m.Show(metrics.Gauge, "commits_waiting", "Commits that wait for their group.", func() float64 { return float64(a.repos.Stats().Waiting) })
	m.ShowSizes("commit_group_size", "Commits that were folded into one transaction.", func() ([]int, []int64, float64) {
		upTo, groups := a.repos.GroupSizes()
		s := a.repos.Stats()
		return upTo, groups, float64(s.Commits + s.Lost)
	})
}

func (a *app) showStreams(m *metrics.Metrics) {
	m.Show(metrics.Gauge, "stream_subscribers", "Consumers of the streams of events.", func() float64 { return float64(a.streams.Stats().Subscribers) })
	m.Show(metrics.Gauge, "stream_tenants", "Tenants whose events are kept in memory for consumers.", func() float64 { return float64(a.streams.Stats().Tenants) })
	m.Show(metrics.Gauge, "stream_behind_events", "Events that the consumer who is furthest behind has not been handed.", func() float64 { return float64(a.streams.Stats().Behind) })
	m.ShowBy(metrics.Gauge, "stream_followed", "Tenants whose streams consumers follow: whose events in other processes are told by notes, and those that are looked at all the time.", []string{"by"}, func(emit func(float64, ...string)) {
		s := a.streams.Stats()
		emit(float64(s.ByNotes), "notes")
		emit(float64(s.ByLooking), "looking")
	})
	m.Show(metrics.Counter, "stream_notes_total", "Notes of other processes' events that were read.", func() float64 { return float64(a.streams.Stats().Notes) })
	m.Show(metrics.Counter, "stream_notes_late_seconds_total", "Time that these notes were on their way, by the clocks of both machines.", func() float64 { return a.streams.Stats().NotesLate.Seconds() })
	m.Show(metrics.Counter, "stream_notes_missed_total", "How often notes were missed, and all streams looked at for it.", func() float64 { return float64(a.streams.Stats().NotesMissed) })
	m.Show(metrics.Counter, "stream_events_sent_total", "Events handed to consumers.", func() float64 { return float64(a.streams.Stats().Sent) })
	m.Show(metrics.Counter, "stream_too_slow_total", "Consumers that were cut off because they were too slow.", func() float64 { return float64(a.streams.Stats().TooSlow) })
}

// showWork is of what goes on in the background.
func (a *app) showWork(m *metrics.Metrics) {
	m.ShowBy(metrics.Counter, "mail_attempts_total", "Attempts to send a message, by what came of them.", []string{"outcome"}, func(emit func(float64, ...string)) {
		s := a.outbox.Stats()
		emit(float64(s.Sent), "sent")
		emit(float64(s.Retried), "retried")
		emit(float64(s.GivenUp), "given_up")
	})
	m.Show(metrics.Gauge, "mail_tenants_waiting", "Tenants whose mail this process is sending, or which wait for their mail server.", func() float64 { return float64(a.outbox.Stats().Tenants) })
	m.Show(metrics.Gauge, "jobs_running", "Jobs that this process does now.", func() float64 { return float64(a.jobs.Stats().Running) })
	m.ShowBy(metrics.Counter, "job_attempts_total", "Attempts at jobs, by what came of them.", []string{"outcome"}, func(emit func(float64, ...string)) {
		s := a.jobs.Stats()
		emit(float64(s.Done), "done")
		emit(float64(s.Failed), "failed")
		emit(float64(s.Cancelled), "cancelled")
		emit(float64(s.Retried), "retried")
	})
	m.Show(metrics.Counter, "password_hashes_total", "Passwords hashed or compared.", func() float64 { return float64(a.passwords.Hashes()) })
	m.Show(metrics.Counter, "failed_signins_total", "Sign-ins that were refused for a wrong password, code or key.", func() float64 { return float64(a.acts.FailedSignins()) })
	m.Show(metrics.Counter, "failed_operators_total", "Callers of the deployment's operator API and dashboard whose token, code or key was wrong.", func() float64 { return float64(a.acts.FailedOperators()) })
}

// show is of what this process serves https by; without it all is 0.
func (s *secured) show(m *metrics.Metrics) {
	m.ShowBy(metrics.Gauge, "certificates", "Certificates, by state: present; waiting, which are wanted for the first time; failing, whose last order failed. Those of the authority are counted for the whole deployment once a minute.", []string{"state"}, func(emit func(float64, ...string)) {
		all := s.stats()
		emit(float64(all.Present), "present")
		emit(float64(all.Waiting), "waiting")
		emit(float64(all.Failing), "failing")
	})
	m.Show(metrics.Gauge, "certificate_expires_timestamp_seconds", "When the first of the certificates that are present expires; 0: there is none.", func() float64 {
		if at := s.stats().Expires; !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	})
	m.ShowBy(metrics.Counter, "certificate_orders_total", "Orders of certificates that this process made, by what came of them: issued, failed, outage (the authority did not answer, or wants to be left alone).", []string{"outcome"}, func(emit func(float64, ...string)) {
		all := s.stats()
		emit(float64(all.Issued), "issued")
		emit(float64(all.Failed), "failed")
		emit(float64(all.Outages), "outage")
	})
}

// stats are of files and of the authority together.
func (s *secured) stats() (all certs.Stats) {
	if s == nil {
		return all
	}
	if s.manager != nil {
		all = s.manager.Stats()
	}
	if s.files != nil {
		of := s.files.Stats()
		all.Present += of.Present
		if all.Expires.IsZero() || !of.Expires.IsZero() && of.Expires.Before(all.Expires) {
			all.Expires = of.Expires
		}
	}
	return all
}

func (a *app) showFiles(m *metrics.Metrics) {
	m.ShowBy(metrics.Counter, "blobs_total", "Files taken in and opened.", []string{"direction"}, func(emit func(float64, ...string)) {
		in, out := a.blobs.Stats()
		emit(float64(in.Done), "upload")
		emit(float64(out.Done), "read")
	})
	m.ShowBy(metrics.Counter, "blob_bytes_total", "Bytes of these files.", []string{"direction"}, func(emit func(float64, ...string)) {
		in, out := a.blobs.Stats()
		emit(float64(in.Bytes), "upload")
		emit(float64(out.Bytes), "read")
	})
	m.ShowBy(metrics.Counter, "blob_store_errors_total", "Failures of file stores: full, timeout, failed, away (not the store that the database knows), lost (a file that should be there is not).", []string{"direction", "kind"}, func(emit func(float64, ...string)) {
		in, out := a.blobs.Stats()
		for direction, t := range map[string]struct{ full, timeout, failed, away, lost int64 }{
			"upload": {in.Full, in.Timeout, in.Failed, in.Away, in.Lost}, "read": {out.Full, out.Timeout, out.Failed, out.Away, out.Lost},
		} {
			emit(float64(t.full), direction, "full")
			emit(float64(t.timeout), direction, "timeout")
			emit(float64(t.failed), direction, "failed")
			emit(float64(t.away), direction, "away")
			emit(float64(t.lost), direction, "lost")
		}
	})
}

// showShares is of what all tenants share: gates, where they wait for each other, and caches.
func (a *app) showShares(m *metrics.Metrics) {
	gates := func() map[string]fair.Stats {
		all := a.repos.Gates()
		all["answer_memory"] = a.memory.Stats()
		all["hashes"] = a.passwords.Turns()
		all["stream_pages"] = a.streams.Readers()
		all["door"] = a.server().DoorStats()
		all["sockets"] = a.server().SocketStats()
		if a.elsewhere != nil {
			all["upstream_calls"] = a.elsewhere.Gate()
		}
		for pool, s := range a.db.Gates() {
			all["postgres_"+pool] = s
		}
		return all
	}
	gate := func(kind metrics.Kind, name, help string, read func(fair.Stats) float64) {
		m.ShowBy(kind, name, help, []string{"gate"}, func(emit func(float64, ...string)) {
			for name, s := range gates() {
				emit(read(s), name)
			}
		})
	}
	gate(metrics.Gauge, "gate_size", "Places, or bytes, that tenants and addresses share.", func(s fair.Stats) float64 { return float64(s.Size) })
	gate(metrics.Gauge, "gate_used", "Of them, those that are taken.", func(s fair.Stats) float64 { return float64(s.Used) })
	gate(metrics.Gauge, "gate_waiting", "Who wait for one.", func(s fair.Stats) float64 { return float64(s.Waiting) })
	gate(metrics.Counter, "gate_refusals_total", "Who got none.", func(s fair.Stats) float64 { return float64(s.Refused) })
	caches := func() map[string]cache.Stats {
		documents, handles := a.documents.Stats()
		return map[string]cache.Stats{
			"accounts": a.actors.Stats(), "repositories": a.repos.CacheStats(), "signing_keys": a.keys.Stats(), "did_documents": documents, "handles": handles,
		}
	}
	m.ShowBy(metrics.Counter, "cache_lookups_total", "What was looked for in memory, by cache, and whether it was there.", []string{"cache", "outcome"}, func(emit func(float64, ...string)) {
		for name, s := range caches() {
			emit(float64(s.Hits), name, "hit")
			emit(float64(s.Misses), name, "miss")
		}
	})
	m.ShowBy(metrics.Gauge, "cache_bytes", "Memory of the caches.", []string{"cache"}, func(emit func(float64, ...string)) {
		for name, s := range caches() {
			emit(float64(s.Bytes), name)
		}
	})
	m.ShowBy(metrics.Gauge, "cache_bytes_most", "How much it may be.", []string{"cache"}, func(emit func(float64, ...string)) {
		for name, s := range caches() {
			emit(float64(s.Max), name)
		}
	})
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
	m.Show(metrics.Gauge, "replicas", "Replicas that this process was given.", sum(func(db.ReplicaState) float64 { return 1 }))
	m.Show(metrics.Gauge, "replicas_usable", "Of them, those that are new enough to be asked.", sum(func(r db.ReplicaState) float64 {
		if r.Usable {
			return 1
		}
		return 0
	}))
	m.Show(metrics.Gauge, "replica_lag_seconds", "Age of what the oldest usable replica has.", func() (oldest float64) {
		for _, r := range a.db.Replicas() {
			if r.Usable {
				oldest = max(oldest, r.Age.Seconds())
			}
		}
		return oldest
	})
	m.Show(metrics.Counter, "replica_reads_total", "Statements and transactions that replicas answered.", sum(func(r db.ReplicaState) float64 { return float64(r.Reads) }))
	misses := map[string]func() float64{
		"failed": sum(func(r db.ReplicaState) float64 { return float64(r.Retried) }),
		"behind": sum(func(r db.ReplicaState) float64 { return float64(r.Waived) }),
		"none":   func() float64 { return float64(a.db.ReplicaMisses()) },
	}
	m.ShowBy(metrics.Counter, "replica_misses_total", "Reads that a replica might have answered and the primary did: it failed, it lacked what was asked for, or none was new enough.", []string{"why"}, func(emit func(float64, ...string)) {
		for why, read := range misses {
			emit(read(), why)
		}
	})
}

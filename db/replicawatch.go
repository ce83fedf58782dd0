package db

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// A replica's age is found out by positions in the primary's log: the process notes the moment, then asks the primary where
// its log ends. A replica that has replayed up to there has everything from before that moment. The time of the last replayed
// transaction would tell nothing: on a primary without writes it stands still, and on a replica that is cut off as well.

const (
	// lookEvery and lookLeast bound how often primary and replicas are asked: ten times within the staleness.
	lookEvery = time.Second
	lookLeast = 50 * time.Millisecond
	// sayEvery is how often the log says at most that a replica is used, or not.
	sayEvery = 10 * time.Second
	// maxSamples is how many of the primary's positions are remembered.
	maxSamples = 64
)

const (
	primaryPosition = `SELECT (pg_current_wal_lsn() - '0/0')::bigint, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
		(SELECT system_identifier FROM pg_control_system()), (SELECT oid::bigint FROM pg_database WHERE datname = current_database())`
	// received_tli is shown to those who may read all statistics; the checkpoint's timeline follows some minutes later.
	replicaPosition = `SELECT pg_is_in_recovery(), coalesce((pg_last_wal_replay_lsn() - '0/0')::bigint, 0),
		coalesce((SELECT received_tli FROM pg_stat_wal_receiver), 0), (SELECT timeline_id FROM pg_control_checkpoint()),
		(SELECT system_identifier FROM pg_control_system()), (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
		pg_postmaster_start_time()`
)

// lineage is what a position in a log is of.
type lineage struct {
	system, database int64
	timeline         int32
}

// sample is where the primary's log ended at a moment, or a little later.
type sample struct {
	at       time.Duration
	position int64
}

// replicaWatch looks at a server and its replicas.
type replicaWatch struct {
	d     *DB
	of    *server
	every time.Duration

	mu      sync.Mutex
	lineage lineage
	samples []sample
}

// RunReplicas looks at all replicas until ctx ends. Without it none is used.
func (d *DB) RunReplicas(ctx context.Context) error {
	if len(d.cfg.Replicas) == 0 {
		return nil
	}
	var running sync.WaitGroup
	defer running.Wait()
	watched := map[*server]bool{}
	for {
		for _, s := range d.fleet.Load().servers {
			if watched[s] || len(s.replicas) == 0 {
				continue
			}
			watched[s] = true
			w := d.watchOf(s)
			running.Go(func() { w.followPrimary(ctx) })
			for _, r := range s.replicas {
				running.Go(func() { w.followReplica(ctx, r) })
			}
		}
		if !pause(ctx, time.Second) { // nodes may come
			return ctx.Err()
		}
	}
}

func (d *DB) watchOf(s *server) *replicaWatch {
	return &replicaWatch{d: d, of: s, every: min(max(d.cfg.ReplicaStaleness/10, lookLeast), lookEvery)}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// asking is a connection that is made when it is needed, and made anew after an error.
type asking struct {
	conn *pgx.Conn
	dial func(context.Context) (*pgx.Conn, error)
}

func (a *asking) row(ctx context.Context, sql string, dest ...any) (err error) {
	ctx, cancel := context.WithTimeout(ctx, replicaPatience)
	defer cancel()
	if a.conn == nil {
		if a.conn, err = a.dial(ctx); err != nil {
			return err
		}
	}
	if err = a.conn.QueryRow(ctx, sql).Scan(dest...); err != nil {
		a.close()
	}
	return err
}

func (a *asking) close() {
	if a.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = a.conn.Close(ctx) // nothing is lost with it
		a.conn = nil
	}
}

func (w *replicaWatch) followPrimary(ctx context.Context) {
	a := asking{dial: func(ctx context.Context) (*pgx.Conn, error) { return w.d.connectNode(ctx, w.of) }}
	defer a.close()
	for {
		w.askPrimary(ctx, &a)
		if !pause(ctx, w.every) {
			return
		}
	}
}

// askPrimary notes where its log ends. When it does not answer, replicas grow old by themselves.
func (w *replicaWatch) askPrimary(ctx context.Context, a *asking) error {
	now := w.d.clock()
	var of lineage
	var position int64
	if err := a.row(ctx, primaryPosition, &position, &of.timeline, &of.system, &of.database); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if of != w.lineage { // another primary: what was noted of the last one says nothing
		w.lineage, w.samples = of, nil
		for _, r := range w.of.replicas {
			r.fresh.Store(0)
		}
	}
	if len(w.samples) >= maxSamples {
		w.samples = append(w.samples[:0], w.samples[len(w.samples)/2:]...)
	}
	w.samples = append(w.samples, sample{now, position})
	return nil
}

func (w *replicaWatch) followReplica(ctx context.Context, r *replica) {
	a := asking{dial: func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.ConnectConfig(ctx, r.at.streams.Config().ConnConfig)
	}}
	defer a.close()
	said := spokesman{log: w.d.log.With("replica", r.at.where)}
	for {
		w.askReplica(ctx, r, &a)
		if ctx.Err() != nil {
			return
		}
		said.tell(r.state(w.d.clock(), w.d.cfg.ReplicaStaleness), w.d.clock())
		if !pause(ctx, w.every) {
			return
		}
	}
}

// askReplica finds out how new a replica is.
func (w *replicaWatch) askReplica(ctx context.Context, r *replica, a *asking) {
	var (
		standby           bool
		position          int64
		received, written int32
		of                lineage
		got               postmaster
	)
	err := a.row(ctx, replicaPosition, &standby, &position, &received, &written, &of.system, &of.database, &got.started)
	if ctx.Err() != nil {
		return
	}
	got.system = of.system
	w.mu.Lock()
	defer w.mu.Unlock()
	why := w.objection(err, standby, received, written, of)
	if why != "" {
		r.why.Store(&why)
		r.fresh.Store(0)
		return
	}
	r.why.Store(nil)
	r.identity.Store(&got)
	for i := len(w.samples) - 1; i >= 0; i-- {
		if i == len(w.samples)-1 {
			r.behind.Store(max(0, w.samples[i].position-position))
		}
		if w.samples[i].position <= position {
			r.fresh.Store(int64(w.samples[i].at))
			return
		}
	}
}

// objection is why a replica is not used, whatever its position; "": it may be.
func (w *replicaWatch) objection(err error, standby bool, received, written int32, of lineage) string {
	switch {
	case err != nil:
		return "it does not answer: " + err.Error()
	case len(w.samples) == 0:
		return "the primary does not answer"
	case of.system != w.lineage.system:
		return "it is no copy of the primary (another system identifier)"
	case of.database != w.lineage.database:
		return "its URL names another database than the primary's"
	case !standby:
		return "it is no standby: it was promoted, or never was one"
	case received == w.lineage.timeline || written == w.lineage.timeline:
		return ""
	case received == 0:
		return fmt.Sprintf("it is not known to be on timeline %d, the primary's: it receives nothing, or its user lacks pg_read_all_stats, without which it takes until its next restart point", w.lineage.timeline)
	}
	return fmt.Sprintf("it is on timeline %d, the primary on %d", received, w.lineage.timeline)
}

// spokesman tells the log when a replica comes into use and when it goes out of it, not at every turn.
type spokesman struct {
	log    *slog.Logger
	usable bool
	spoken bool
	at     time.Duration
}

func (s *spokesman) tell(now ReplicaState, at time.Duration) {
	if s.spoken && (now.Usable == s.usable || at-s.at < sayEvery) || !s.spoken && !now.Usable && at < sayEvery/5 {
		return // the first look may come before the primary's
	}
	s.usable, s.spoken, s.at = now.Usable, true, at
	if now.Usable {
		s.log.Info("a replica answers public reads and exports", "age", now.Age.Round(time.Millisecond))
		return
	}
	s.log.Warn("a replica is not used; the primary answers what it would have", "why", now.Why)
}

// LookAtReplicas finds out how the replicas of a node are: each may take up to within to show a position that the primary
// has now.
func (d *DB) LookAtReplicas(ctx context.Context, node int32, within time.Duration) ([]ReplicaState, error) {
	at, err := d.serverOf(Schema{node: node})
	if err != nil || len(at.replicas) == 0 {
		return nil, err
	}
	w := d.watchOf(at)
	primary := asking{dial: func(ctx context.Context) (*pgx.Conn, error) { return d.connectNode(ctx, at) }}
	defer primary.close()
	if err := w.askPrimary(ctx, &primary); err != nil {
		return nil, classify(err)
	}
	asked := d.clock()
	out := make([]ReplicaState, len(at.replicas))
	var all sync.WaitGroup
	for i, r := range at.replicas {
		all.Go(func() { out[i] = w.lookOnce(ctx, r, asked, within) })
	}
	all.Wait()
	return out, ctx.Err()
}

func (w *replicaWatch) lookOnce(ctx context.Context, r *replica, asked, within time.Duration) ReplicaState {
	a := asking{dial: func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.ConnectConfig(ctx, r.at.streams.Config().ConnConfig)
	}}
	defer a.close()
	for {
		w.askReplica(ctx, r, &a)
		s := r.state(w.d.clock(), w.d.cfg.ReplicaStaleness)
		took := w.d.clock() - asked
		if s.Usable || r.why.Load() != nil || took > within || ctx.Err() != nil {
			if s.Usable {
				s.Age = took
			} else if r.why.Load() == nil {
				s.Why = fmt.Sprintf("it is more than %s behind", within.Round(time.Millisecond))
			}
			return s
		}
		if !pause(ctx, w.every) {
			return s
		}
	}
}

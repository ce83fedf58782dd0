package db

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Within tells whether a move from one node to another is between workers of one Citus cluster, so that the cluster does
// it.
func (d *DB) Within(from, to int32) bool {
	f := d.fleet.Load().servers
	a, b := f[from], f[to]
	return a != nil && b != nil && a != b && a.worker != "" && b.worker != ""
}

// Apart tells whether a tenant cannot be moved from one node to another while it is served, because one of them is a worker
// of a Citus cluster and the other is not. That goes for the coordinator, too: what a process that has not heard of it sent
// there, Citus would take apart and pass on.
func (d *DB) Apart(from, to int32) bool {
	f := d.fleet.Load().servers
	a, b := f[from], f[to]
	return a != nil && b != nil && (a.worker != "" || b.worker != "") && !d.Within(from, to)
}

// ClusterMove is a schema's way to a worker.
type ClusterMove struct {
	// ID is what control knows the move by.
	ID     string
	Schema Schema
	To     int32
	// Progress is told what Citus does, in its words, and how many bytes are there, of about how many; nil: nobody.
	Progress func(step string, done, total int64)
}

// ClusterMoved is what came of it. The pause is seen from outside, every heldEvery: it is as exact as that.
type ClusterMoved struct {
	Pause time.Duration // how long writers waited
	Bytes int64
}

// goneCheck is how often the coordinator looks whether we are still there while it copies: a move whose process died is
// taken back then.
const goneCheck = "SET LOCAL client_connection_check_interval = 2000"

// MoveWithin brings a schema to a worker of the cluster, and says so in control, both in one transaction: it has moved, or
// nothing has happened. Citus copies while the schema is written to, and holds writers up for the end of it only. They wait
// in locus_server.here, which refuses when it is over, and follow. Errors: [ErrCarrying].
func (d *DB) MoveWithin(ctx context.Context, m ClusterMove) (out ClusterMoved, err error) {
	from, err := d.serverOf(m.Schema)
	if err != nil {
		return out, err
	}
	to, err := d.serverOf(m.Schema.On(m.To))
	if err != nil {
		return out, err
	}
	if !d.Within(from.node, to.node) {
		return out, fmt.Errorf("move %s: node %d to node %d is not within a Citus cluster", m.Schema, from.node, to.node)
	}
	var watch func() (pause time.Duration, bytes int64)
	defer func() {
		if watch != nil {
			out.Pause, out.Bytes = watch()
		}
	}()
	return out, transactOnce(ctx, d.home.admin, pgx.TxOptions{BeginQuery: beginWakeful}, func(tx pgx.Tx) (err error) {
		defer func() {
			if err != nil { // or the connection would go on listening
				_ = tx.Conn().Close(ctx)
			}
		}()
		for _, sql := range []string{unhurried, goneCheck, unwakeful} {
			if err := do(ctx, tx, sql); err != nil {
				return classify(err)
			}
		}
		var session int32
		if err := tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&session); err != nil {
			return classify(err)
		}
		var got bool
		if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", moveKey(m.Schema)).Scan(&got); err != nil {
			return classify(err)
		}
		if !got {
			return ErrCarrying
		}
		watch = d.watchMove(ctx, m, session)
		if err := d.hand(ctx, tx, m.Schema, from, to); err != nil {
			return citusBusy(classify(fmt.Errorf("move %s to %s: %w", m.Schema, to.address(), err)))
		}
		return d.noteMoved(ctx, controldb.New(runner{pool: d.home.admin, tx: tx}), m, from.node)
	})
}

func moveKey(s Schema) int64 {
	h := fnv.New64a()
	h.Write([]byte("locus carry " + s.name))
	return int64(h.Sum64())
}

// busyRoutines are where Citus, which has no codes of its own, refuses for the moment.
var busyRoutines = []string{"AcquireShardPlacementLock", "AcquirePlacementColocationLock", "ErrorIfCleanupRecordForShardExists"}

// citusBusy marks what another attempt may find done: somebody else moves or changes the schema, or an attempt that died
// is still being taken back.
func citusBusy(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && slices.Contains(busyRoutines, pg.Routine) {
		return fmt.Errorf("%w: %w", ErrCarrying, err)
	}
	return err
}

// hand has Citus do it, unless the schema is there.
func (d *DB) hand(ctx context.Context, tx pgx.Tx, s Schema, from, to *server) error {
	host, port, err := splitWorker(to.address())
	if err != nil {
		return err
	}
	at, err := placedOn(ctx, tx, s.name)
	switch {
	case err != nil || at == to.address():
		return err
	case at == "":
		return fmt.Errorf("%w: %s is not distributed", ErrNotPlaced, s)
	}
	began, err := lifeOf(ctx, from, to, d.home)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.citus_schema_move($1::regnamespace, $2::text, $3::int)", s.name, host, port); err != nil {
		// Citus has no code for a server that dies meanwhile, the coordinator's own among them.
		now, askErr := lifeOf(ctx, from, to, d.home)
		if askErr != nil || now.started != began.started {
			err = fmt.Errorf("%w: a server of the cluster was restarted meanwhile, or does not answer: %w", ErrUnavailable, err)
		}
		return err
	}
	if began.history[0] == began.history[1] {
		return nil
	}
	// Numbers go on as they are: nothing is lost.
	_, err = tx.Exec(ctx, "UPDATE "+s.name+".stream_head SET timeline = $2 WHERE id = 1 AND timeline = $1", began.history[0], began.history[1])
	return err
}

// life is when the two servers of a move and their coordinator were started, and what their logs continue.
type life struct{ started, history [3]string }

func lifeOf(ctx context.Context, servers ...*server) (l life, err error) {
	for i, server := range servers {
		err := runner{pool: server.background}.QueryRow(ctx, "SELECT pg_postmaster_start_time()::text, left(pg_walfile_name(pg_current_wal_lsn()), 8)").
			Scan(&l.started[i], &l.history[i])
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// noteMoved says in control where the tenant is.
func (d *DB) noteMoved(ctx context.Context, q *controldb.Queries, m ClusterMove, from int32) error {
	row, err := q.GetTenantBySchema(ctx, m.Schema.name)
	if IsNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	revision, err := q.LockNextCounter(ctx, "revision")
	if err != nil {
		return fmt.Errorf("take a revision: %w", err)
	}
	if _, err := q.UpdateTenantNode(ctx, controldb.UpdateTenantNodeParams{TenantID: row.TenantID, Source: from, Target: m.To, Revision: revision}); err != nil {
		return err
	}
	_, err = q.DeleteTenantMove(ctx, controldb.DeleteTenantMoveParams{TenantID: row.TenantID, MoveID: m.ID})
	return err
}

// Citus looks once a second whether the copy has caught up, the last time while writers wait. But it looks at once when its
// session is woken, which is what a notification does to a session that listens. So the session listens, and is woken
// while it waits. Listening takes effect with a commit, and ends with the move's. Where PgBouncer is in between, the session
// does not listen, and writers wait up to a second longer.
const (
	beginWakeful = "begin; LISTEN locus_move; commit; begin"
	unwakeful    = "UNLISTEN locus_move"
	wake         = "SELECT pg_catalog.pg_notify('locus_move', '')"
)

// moveSteps is what Citus says of a move.
const moveSteps = `SELECT status, sum(target_shard_size)::bigint, sum(source_shard_size)::bigint FROM pg_catalog.get_rebalance_progress()
WHERE table_name::text LIKE $1 GROUP BY status ORDER BY count(*) DESC LIMIT 1`

// moveHolds tells whether the session of a move holds up writers: it has then the lock, of the kind that Citus counts as 8,
// that each statement which writes has to share.
const moveHolds = `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
	WHERE pid = $1 AND locktype = 'advisory' AND objsubid = 8 AND mode = 'ExclusiveLock' AND granted)`

const (
	// watchEvery is how often a move is looked at: Citus asks all workers for sizes each time.
	watchEvery = 100 * time.Millisecond
	// heldEvery is how often from when writers may soon be held up, for which no sizes are asked for.
	heldEvery = 10 * time.Millisecond
)

// watchMove follows a move, in a session of the coordinator, until the function that it gives is called.
func (d *DB) watchMove(ctx context.Context, m ClusterMove, session int32) func() (pause time.Duration, bytes int64) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	var stopped time.Time // when writers were
	var bytes int64
	go func() {
		defer close(ended)
		home := runner{pool: d.home.background}
		var looked time.Time
		for step := ""; ctx.Err() == nil; {
			if last := step == "Final Catchup" || !stopped.IsZero(); !last && time.Since(looked) >= watchEvery {
				looked = time.Now()
				var done, total int64
				err := home.QueryRow(ctx, moveSteps, m.Schema.name+".%").Scan(&step, &done, &total)
				if bytes = max(bytes, total); err == nil && m.Progress != nil {
					m.Progress(step, min(done, total), total)
				}
			}
			every := heldEvery
			switch step {
			case "Catching Up", "Final Catchup":
				_, _ = home.Exec(ctx, wake) // one that fails is followed by another
			case "Creating Constraints", "Creating Foreign Keys", "Completing":
			default:
				every = watchEvery
			}
			if every == heldEvery && stopped.IsZero() {
				asked, held := time.Now(), false
				if err := home.QueryRow(ctx, moveHolds, session).Scan(&held); err == nil && held {
					step, stopped = "Final Catchup", asked
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(every):
			}
		}
	}()
	return func() (time.Duration, int64) {
		cancel()
		<-ended
		if stopped.IsZero() {
			return 0, bytes
		}
		return time.Since(stopped), bytes
	}
}

// CleanAfterMove has Citus take away what a move left that was ended on its way. It does so by itself, a little later.
func (d *DB) CleanAfterMove(ctx context.Context) error {
	_, err := runner{pool: d.home.admin}.Exec(ctx, "CALL pg_catalog.citus_cleanup_orphaned_resources()")
	return err
}

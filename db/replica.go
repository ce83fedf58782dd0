package db

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Replica is a standby that reads may be sent to which need not see the newest: see [DB.Lagging].
type Replica struct {
	Node string // the name of the node whose tenants it has; "": the control schema's own database
	URL  string // of one server
}

const (
	// DefaultReplicaStaleness is Config.ReplicaStaleness where nothing is said: no older than what processes remember of
	// accounts anyway.
	DefaultReplicaStaleness = 2 * time.Second
	// LeastReplicaStaleness leaves room for the questions that find out how old a replica is.
	LeastReplicaStaleness = 500 * time.Millisecond
	// replicaPatience is how long an answer of a replica, or a place there, is waited for: the primary can give it, too.
	replicaPatience = 3 * time.Second
)

// ErrReplica refuses the URL of a replica, or a connection to one.
var ErrReplica = errors.New("this server is not the replica that was named")

// replica is a standby of a server. Its pools are its own.
type replica struct {
	at *server
	// fresh is a moment of this process's clock: all that was committed on the primary before it is there. 0: nobody knows.
	fresh    atomic.Int64
	identity atomic.Pointer[postmaster] // of the server that was looked at
	why      atomic.Pointer[string]     // what the last look found against it; nil: nothing

	behind                 atomic.Int64 // bytes of the primary's log that were not replayed at the last look
	reads, retried, waived atomic.Int64
}

// postmaster is a server between two starts of it.
type postmaster struct {
	system  int64
	started time.Time
}

// replicas is what DB keeps of all its replicas.
type replicas struct {
	born    time.Time    // its clock begins
	turn    atomic.Int64 // whose turn it is
	primary atomic.Int64 // how often there was none
	changed changeLog
	placed  sync.Map // name of a schema → *placed
}

// placed is since when this process has known a schema at its node. A replica that is older may have another one there, or a
// part of it.
type placed struct {
	node  int32
	since time.Duration
}

func (d *DB) clock() time.Duration { return time.Since(d.born) }

// replicasOf makes the pools of a server's replicas. It asks none of them.
func (d *DB) replicasOf(ctx context.Context, s *server, name string) error {
	for _, r := range d.cfg.Replicas {
		if r.Node != name {
			continue
		}
		made, err := d.newReplica(ctx, s.node, r.URL)
		if err != nil {
			return fmt.Errorf("replica: %w", err)
		}
		s.replicas = append(s.replicas, made)
	}
	return nil
}

func (d *DB) newReplica(ctx context.Context, node int32, url string) (_ *replica, err error) {
	cfg := d.cfg
	cfg.URL = url
	base, behind, err := parse(cfg)
	if err != nil {
		return nil, err
	}
	if behind {
		return nil, fmt.Errorf("%w: its URL says pgbouncer=true, and PgBouncer may lead each read to another server and hides a promotion: name the standby itself", ErrReplica)
	}
	for _, f := range base.ConnConfig.Fallbacks {
		if f.Host != base.ConnConfig.Host || f.Port != base.ConnConfig.Port {
			return nil, fmt.Errorf("%w: its URL names several hosts, want one for each replica", ErrReplica)
		}
	}
	quiet := slog.New(slog.DiscardHandler) // the watch tells the log, and nothing is refused
	r := &replica{at: &server{node: node, where: describe(base.ConnConfig)}}
	r.at.health = newHealth(r.at.where, quiet)
	base.AfterConnect = r.admit
	if r.at.streams, err = d.newPool(ctx, r.at, base, d.cfg.streamShape()); err != nil {
		return nil, err
	}
	r.at.streams.wait = replicaPatience
	for range d.cfg.SubPools {
		shape := d.cfg.tenantShape()
		shape.answer = min(shape.answer, replicaPatience)
		p, err := d.newPool(ctx, r.at, base, shape)
		if err != nil {
			r.at.close()
			return nil, err
		}
		r.at.tenants = append(r.at.tenants, p)
	}
	return r, nil
}

// admit refuses a connection to another server than the one that the watch looks at: a name may lead to several.
func (r *replica) admit(ctx context.Context, conn *pgx.Conn) error {
	var standby bool
	var got postmaster
	err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()), pg_postmaster_start_time()").
		Scan(&standby, &got.system, &got.started)
	if err != nil {
		return err
	}
	known := r.identity.Load()
	if known == nil || !standby || got.system != known.system || !got.started.Equal(known.started) {
		return ErrReplica
	}
	return nil
}

// usable tells whether a replica has all from before since, and is no older than bound.
func (r *replica) usable(now, since, bound time.Duration) bool {
	fresh := time.Duration(r.fresh.Load())
	return fresh > 0 && now-fresh < bound && fresh >= since
}

// Lag says what a read needs that a replica may answer.
type Lag struct {
	// AID is the account whose changes that this process knows of must be there; 0: the read is of no one account.
	AID int64
	// Bound is how old the answer may be, if that is less than Config.ReplicaStaleness. 0: it is not.
	Bound time.Duration
}

type lagKey struct{}

// lag is the leave of one request to be answered by a replica. It never goes from the primary back to a replica, nor from
// one replica to another: what the request has seen stays.
type lag struct {
	replica *replica
	schema  Schema
	fresh   time.Duration
	over    atomic.Bool // the primary answers from here on
}

// Lagging gives a context in which single reads and ReadTx of one tenant's schema are answered by a replica, if there is one
// that is new enough: no older than the bound, and with all changes that this process was told of ([DB.Changed]). Otherwise,
// and when the replica fails in the middle, the primary answers. ReadTx may run its body a second time then. A replica is
// not believed that a row does not exist which a :one query asks for.
//
// What an account does or asks itself is never done in such a context.
func (d *DB) Lagging(ctx context.Context, s Schema, o Lag) (_ context.Context, lent bool) {
	if len(d.cfg.Replicas) == 0 {
		return ctx, false
	}
	at := d.placeOf(s)
	if d.moves.Load() > 0 {
		if node, ok := d.moved.Load(s.name); ok {
			s = s.On(node.(int32))
			at = d.placeOf(s)
		}
	}
	if len(at.server.replicas) == 0 {
		return ctx, false
	}
	now := d.clock()
	bound := d.cfg.ReplicaStaleness
	if o.Bound > 0 {
		bound = min(bound, o.Bound)
	}
	since := max(d.placedSince(s, now), d.changed.since(s, o.AID))
	n := len(at.server.replicas)
	for i, turn := 0, int(d.turn.Add(1)); i < n; i++ {
		if r := at.server.replicas[(turn+i)%n]; r.usable(now, since, bound) {
			return context.WithValue(ctx, lagKey{}, &lag{replica: r, schema: s, fresh: time.Duration(r.fresh.Load())}), true
		}
	}
	d.primary.Add(1)
	return ctx, false
}

// Waive takes the leave back: the caller has found out that the replica lacks something.
func Waive(ctx context.Context) {
	if l, ok := ctx.Value(lagKey{}).(*lag); ok && !l.over.Swap(true) {
		l.replica.waived.Add(1)
	}
}

// Covers tells whether the replica that answers in a context has all changes of an account that this process was told of.
func (d *DB) Covers(ctx context.Context, aid int64) bool {
	l, ok := ctx.Value(lagKey{}).(*lag)
	return !ok || d.changed.since(l.schema, aid) <= l.fresh
}

// Lent tells whether a replica answers what is asked next in a context.
func Lent(ctx context.Context) bool {
	l, ok := ctx.Value(lagKey{}).(*lag)
	return ok && !l.over.Load()
}

func (d *DB) placedSince(s Schema, now time.Duration) time.Duration {
	if v, ok := d.placed.Load(s.name); ok && v.(*placed).node == s.Node() {
		return v.(*placed).since
	}
	d.placed.Store(s.name, &placed{s.Node(), now})
	return now
}

// Changed says that something was committed that others may be told of by now. A replica that may lack it is not asked for
// this account; with aid 0, for nothing of the tenant.
func (d *DB) Changed(s Schema, aid int64) {
	if len(d.cfg.Replicas) > 0 {
		d.changed.note(s, aid, d.clock(), d.cfg.ReplicaStaleness)
	}
}

// maxChanges bounds the accounts of one generation of changes; with more, no replica is asked for a while.
const maxChanges = 1 << 17

// changeLog remembers what was changed when, for as long as a replica may be old. It has two generations.
type changeLog struct {
	mu       sync.Mutex
	new, old map[changedKey]time.Duration
	turned   time.Duration
	all      time.Duration // everything changed then, as far as is remembered
}

type changedKey struct {
	schema string
	aid    int64
}

func (c *changeLog) note(s Schema, aid int64, now, keep time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now-c.turned > keep {
		c.old, c.new, c.turned = c.new, nil, now
	}
	if len(c.new) >= maxChanges {
		c.all, c.old, c.new = now, nil, nil
		return
	}
	if c.new == nil {
		c.new = map[changedKey]time.Duration{}
	}
	c.new[changedKey{s.name, aid}] = now
}

// since is the moment of the last change of an account, or of the tenant at large.
func (c *changeLog) since(s Schema, aid int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.all
	for _, m := range []map[changedKey]time.Duration{c.new, c.old} {
		last = max(last, m[changedKey{s.name, aid}], m[changedKey{s.name, 0}])
	}
	return last
}

// ReplicaState is how a replica is found.
type ReplicaState struct {
	Node    int32
	Where   string // host, port and database
	Usable  bool
	Why     string        // it is not
	Age     time.Duration // of what it has; negative: not known
	Behind  int64         // bytes of the primary's log
	Reads   int64         // that it answered for this process
	Retried int64         // reads that it failed, and the primary answered
	Waived  int64         // reads that it was too old for, though fresh enough for others
}

// Replicas tells how the replicas are, as this process's watch has found them. It asks nobody.
func (d *DB) Replicas() []ReplicaState {
	var out []ReplicaState
	now := d.clock()
	for _, s := range d.fleet.Load().servers {
		for _, r := range s.replicas {
			out = append(out, r.state(now, d.cfg.ReplicaStaleness))
		}
	}
	slices.SortFunc(out, func(a, b ReplicaState) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Where, b.Where))
	})
	return out
}

func (r *replica) state(now, bound time.Duration) ReplicaState {
	s := ReplicaState{Node: r.at.node, Where: r.at.where, Usable: r.usable(now, 0, bound), Age: -1, Behind: r.behind.Load(),
		Reads: r.reads.Load(), Retried: r.retried.Load(), Waived: r.waived.Load()}
	if fresh := time.Duration(r.fresh.Load()); fresh > 0 {
		s.Age = now - fresh
	}
	if s.Usable {
		return s
	}
	switch why := r.why.Load(); {
	case why != nil:
		s.Why = *why
	case s.Age >= 0:
		s.Why = fmt.Sprintf("it is %s behind", s.Age.Round(100*time.Millisecond))
	default:
		s.Why = "it has not been looked at yet"
	}
	return s
}

// ReplicaMisses is how often a read might have gone to a replica, and none was new enough.
func (d *DB) ReplicaMisses() int64 { return d.primary.Load() }

// isPromoted tells whether the server of a connection has said that it is no standby any more.
func isPromoted(c *pgconn.PgConn) bool { return c.ParameterStatus("in_hot_standby") == "off" }

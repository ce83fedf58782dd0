// Package db is the only door to Postgres: it opens, scopes, transacts, migrates, and says what an error means.
//
// A tenant's tables are reached only through [DB.Tenant], which names the tenant's [Schema]. Generated statements name
// the schema "pds_tenant", which does not exist; the tenant's own is put in its place, each text once per tenant. The
// search path is empty, so a text that escapes fails with "relation does not exist" instead of reading other rows.
package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/fair"
)

// MinServerVersion is the oldest Postgres that is served from, as server_version_num counts.
const MinServerVersion = 150000

// idleInTransaction is how long a lost client holds its locks.
const idleInTransaction = time.Minute

// Config says how to reach Postgres. Everything but URL has a default.
type Config struct {
	// URL is the connection string, as libpq's. One parameter is ours: pgbouncer=true for a server behind PgBouncer in
	// transaction mode, where no session setting is used, and statements are prepared only if PgBouncer keeps them.
	URL string
	// Nodes are the connection strings of further databases that tenants may lie in, by the names that control.node has
	// for them.
	Nodes map[string]string
	// Replicas are standbys of these databases that reads may go to which need not see the newest, and ReplicaStaleness is
	// how old their answers may be. Default: DefaultReplicaStaleness.
	Replicas         []Replica
	ReplicaStaleness time.Duration

	// Sizes is how many connections there are, and for whom.
	Sizes

	// TenantRoles makes each tenant's statements run with the rights of a role of its own: see [DB.MakeTenantRoles].
	TenantRoles bool

	// StatementTimeout ends a statement on the server. Default 30 s; migrations and ReadTx have none.
	StatementTimeout time.Duration
	// AnswerTimeout is how long any one answer of the server is waited for, in case it went without a word, and a commit
	// for its synchronous standby. Default: StatementTimeout and 5 s; migrations and ReadTx have none.
	AnswerTimeout time.Duration
	// StartTimeout is how long Open waits for a server that is not there yet. Default 60 s, negative: one attempt.
	StartTimeout time.Duration

	// Tracer is told of statements; nil: nobody is, and it costs nothing.
	Tracer pgx.QueryTracer

	Log *slog.Logger // default: discards
}

// ErrUnavailable means that Postgres does not answer, so nothing happened.
var ErrUnavailable = errors.New("database unavailable")

// ErrBusy comes with ErrUnavailable: the tenant's turn for a connection did not come in time, or too many of it wait.
var ErrBusy = errors.New("too many wait for a connection")

// ErrServer refuses a server that cannot be used: too old, or another encoding than UTF-8.
var ErrServer = errors.New("unusable database server")

// DB is a deployment's database: the control schema and the tenants' schemas beside it.
type DB struct {
	control  *pool
	nodes    // of tenants' schemas
	replicas // of their servers
	rewriter rewriter
	shards   sync.Map // schema name → *shards

	cfg       Config
	migrating chan struct{} // one place for each migration at work: each takes up to adminConns of admin
	log       *slog.Logger
	lines     *lines
	writes    *listener
}

// Open connects. It waits for a server that is down or starting, up to Config.StartTimeout, and fails at once when
// waiting cannot help (wrong password, no such database, too old). It does not wait for further nodes.
//
// Connections that break later are made anew by themselves.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	base, bouncer, err := parse(cfg)
	if err != nil {
		return nil, err
	}
	d := &DB{cfg: cfg, log: cfg.Log, lines: newLines(), writes: new(listener), migrating: make(chan struct{}, migrationWorkers)}
	d.born = time.Now()
	base.ConnConfig.DialFunc = d.lines.dial
	if err := d.await(ctx, cfg, base.ConnConfig); err != nil {
		return nil, err
	}
	if d.home, err = d.newServer(ctx, HomeNode, base, bouncer, ""); err != nil {
		return nil, err
	}
	if err := d.replicasOf(ctx, d.home, ""); err != nil {
		d.home.close()
		return nil, err
	}
	d.fleet.Store(&fleet{servers: map[int32]*server{HomeNode: d.home}})
	d.rewriter.sharded, d.rewriter.onShards = d.onWorker, d.onShards
	d.control, err = d.newPool(ctx, d.home, base, cfg.controlShape())
	if err != nil {
		d.home.close()
		return nil, err
	}
	return d, nil
}

func (c Config) withDefaults() Config {
	c.Sizes = c.Sizes.On(fair.Processors)
	if c.StatementTimeout == 0 {
		c.StatementTimeout = 30 * time.Second
	}
	if c.AnswerTimeout == 0 {
		c.AnswerTimeout = c.StatementTimeout + 5*time.Second
	}
	if c.ReplicaStaleness == 0 {
		c.ReplicaStaleness = DefaultReplicaStaleness
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// CheckURL refuses a text that is no database's URL, without connecting to anything. What it says holds no password.
func CheckURL(url string) error {
	_, _, err := parse(Config{URL: url})
	return err
}

// parse reads the URL and sets what every connection shares.
func parse(cfg Config) (base *pgxpool.Config, bouncer bool, err error) {
	if cfg.URL == "" {
		return nil, false, errors.New("no database URL")
	}
	base, err = pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, false, fmt.Errorf("database URL: %w", err) // pgx leaves the password out
	}
	c := base.ConnConfig
	switch v := c.RuntimeParams["pgbouncer"]; v {
	case "", "false":
	case "true":
		bouncer = true
	default:
		return nil, false, fmt.Errorf("database URL: pgbouncer is %q, want true or false", v)
	}
	delete(c.RuntimeParams, "pgbouncer")
	if bouncer {
		// What works however PgBouncer is set up; connections to one that keeps prepared statements use them. It refuses a
		// search_path and time-outs.
		c.DefaultQueryExecMode = pgx.QueryExecModeExec
		c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	} else {
		c.RuntimeParams["search_path"] = ""
		c.RuntimeParams["idle_in_transaction_session_timeout"] = fmt.Sprint(idleInTransaction.Milliseconds())
		if c.RuntimeParams["application_name"] == "" {
			c.RuntimeParams["application_name"] = appName()
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	c.OnNotice = noticed
	c.Tracer = cfg.Tracer
	base.MinConns, base.MinIdleConns = 0, 0
	base.MaxConnIdleTime = 10 * time.Minute
	// A connection that is old knows its tenants' tables and plans; a new one has to learn them all again.
	base.MaxConnLifetime, base.MaxConnLifetimeJitter = 24*time.Hour, 12*time.Hour
	base.HealthCheckPeriod = 30 * time.Second
	// acquire sees a connection that was closed; a ping finds the one whose server went without a word.
	base.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > 10*time.Second }
	base.PingTimeout = 2 * time.Second
	return base, bouncer, nil
}

// describe says where the database is, without user or password.
func describe(c *pgx.ConnConfig) string {
	if strings.HasPrefix(c.Host, "/") {
		return fmt.Sprintf("%q on socket %s/.s.PGSQL.%d", c.Database, c.Host, c.Port)
	}
	return fmt.Sprintf("%q on %s port %d", c.Database, c.Host, c.Port)
}

// await returns when one connection could be made and the server is one we can use.
func (d *DB) await(ctx context.Context, cfg Config, c *pgx.ConnConfig) error {
	started, deadline, where := time.Now(), time.Now().Add(cfg.StartTimeout), describe(c)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := attempt(ctx, c, cfg.StartTimeout > 0, deadline)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("database %s: %w", where, err)
		if !waitingHelps(err) || ctx.Err() != nil {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("%w after %s: %w", ErrUnavailable, time.Since(started).Round(time.Millisecond), err)
		}
		wait = min(wait, left)
		d.log.Warn("waiting for the database", "err", err, "next_try", wait)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// attempt is one check, each of whose servers has ConnectTimeout. bounded: those that say nothing do not draw it out beyond
// the deadline, or a second where that is nearer.
func attempt(ctx context.Context, c *pgx.ConnConfig, bounded bool, deadline time.Time) error {
	if bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(deadline), time.Second))
		defer cancel()
	}
	return check(ctx, c)
}

// check makes one connection and looks at the server.
func check(ctx context.Context, c *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return usable(ctx, conn)
}

// usable refuses a server that is too old, or keeps another encoding.
func usable(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var name, encoding string
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('server_encoding')`).
		Scan(&version, &name, &encoding)
	if err != nil {
		return err
	}
	if version < MinServerVersion {
		return fmt.Errorf("%w: Postgres %s, need %d or later", ErrServer, name, MinServerVersion/10000)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("%w: the database's encoding is %s, need UTF8: make it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", ErrServer, encoding)
	}
	return nil
}

// waitingHelps is false where the server has answered with something that will not change.
func waitingHelps(err error) bool {
	if errors.Is(err, ErrServer) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return isDown(pg.Code)
	}
	return true
}

// closeTime bounds how long connections take to be closed once they are cut.
const closeTime = time.Second

// Close ends all connections after the statements that use them. After [DB.GiveUp] it does not wait for the server.
func (d *DB) Close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		d.close()
	}()
	select {
	case <-closed:
		return
	case <-d.lines.gone:
	}
	select {
	case <-closed:
	case <-time.After(closeTime):
	}
}

func (d *DB) close() {
	d.control.Close()
	for _, s := range d.fleet.Load().servers {
		s.close()
	}
}

// Ping tells whether the database answers.
func (d *DB) Ping(ctx context.Context) error {
	ctx, cancel := d.control.patience(ctx)
	defer cancel()
	err := classify(d.control.Ping(ctx))
	d.control.health.saw(ctx, err, false)
	return err
}

// StreamConns is how many ReadTx there can be at once, of each server.
func (d *DB) StreamConns() int { return d.cfg.StreamConns }

// OnWrite sets what is told the name of a tenant's schema each time that it was, or may have been, written to, but not by
// work in the background ([InBackground]). routine: whoever wrote said so ([Routine], [Batch.Routine]). It must not block.
func (d *DB) OnWrite(told func(schema string, routine bool)) { d.writes.told.Store(&told) }

// Control gives single statements on the control schema.
func (d *DB) Control() *controldb.Queries { return controldb.New(runner{pool: d.control}) }

// ControlTx runs body in one transaction on the control schema. It runs it again when Postgres reports a serialization
// failure or a deadlock, so body changes nothing but the database.
func (d *DB) ControlTx(ctx context.Context, body func(q *controldb.Queries) error) error {
	return transact(ctx, d.control, pgx.TxOptions{}, func(tx pgx.Tx) error {
		return body(controldb.New(runner{pool: d.control, tx: tx}))
	})
}

// Tenant opens a tenant's schema. It is cheap and touches nothing.
func (d *DB) Tenant(s Schema) *Tenant {
	return &Tenant{db: d, home: d.placeOf(s), schema: s, texts: d.rewriter.texts(s)}
}

// Forget drops what the process keeps for a tenant that was deleted.
func (d *DB) Forget(s Schema) {
	d.rewriter.forget(s)
	d.shards.Delete(s.name)
	d.placed.Delete(s.name)
}

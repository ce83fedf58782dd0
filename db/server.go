package db

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5/pgxpool"
)

// HomeNode is the node of the control schema's own database.
const HomeNode int32 = 1

// maxNodes bounds the databases of a deployment.
const maxNodes = 1000

// ErrNoNode means that this process was not told how to reach the database that a tenant is in. It comes with
// ErrUnavailable: other tenants are served.
var ErrNoNode = errors.New("this process does not know the tenant's database")

// server is a Postgres that tenants' schemas lie in: the control schema's own, or another.
type server struct {
	node    int32
	tenants []*pool
	streams *pool
	admin   *pool // migrations: no statement timeout, no idle connections
	// background is what nobody waits for: see [InBackground].
	background *pool
	where      string                 // host, port and database, for messages
	label      string                 // that the database carries; "": it is not asked
	worker     string                 // of the Citus cluster whose coordinator is the home node; "": none. Its admin is the home node's
	renamed    atomic.Pointer[string] // what the worker is called in the cluster's catalogue since, if that is another name
	health     *health
	bouncer    *bouncer // nil: nothing is between us and the server
	replicas   []*replica
}

// fleet is the servers that are known, by their nodes. It is never changed.
type fleet struct {
	servers map[int32]*server
	refs    map[int32]string // nodes that have another name than a URL was given for
}

// newServer makes the pools of a server. It asks the server nothing.
func (d *DB) newServer(ctx context.Context, node int32, base *pgxpool.Config, behind bool, worker string) (s *server, err error) {
	s = &server{node: node, where: describe(base.ConnConfig), worker: worker}
	s.health = newHealth(s.where, d.log)
	if behind {
		s.bouncer = newBouncer(base.ConnConfig)
		s.bouncer.server.DialFunc = d.lines.dial
	}
	defer func() {
		if err != nil {
			s.worker = "" // all pools are its own yet
			s.close()
		}
	}()
	for _, p := range []struct {
		to    **pool
		shape poolShape
	}{
		{&s.streams, d.cfg.streamShape()},
		{&s.admin, d.cfg.adminShape()},
		{&s.background, d.cfg.backgroundShape()},
	} {
		if *p.to, err = d.newPool(ctx, s, base, p.shape); err != nil {
			return nil, err
		}
	}
	for range d.cfg.SubPools {
		p, err := d.newPool(ctx, s, base, d.cfg.tenantShape())
		if err != nil {
			return nil, err
		}
		p.background = s.background
		s.tenants = append(s.tenants, p)
	}
	return s, nil
}

func (s *server) close() {
	all := append([]*pool{s.streams, s.background}, s.tenants...)
	if s.worker == "" {
		all = append(all, s.admin)
	}
	for _, p := range all {
		if p != nil {
			p.Close()
		}
	}
	for _, r := range s.replicas {
		r.at.close()
	}
}

// migrations are those of a tenant's schema on the server.
func (s *server) migrations(of Schema) fs.FS {
	if s.worker != "" {
		return schema.TenantOnCitus(of.name)
	}
	return schema.Tenant(of.name)
}

// poolOf is the pool that the statements of a tenant share with those of some others.
func (s *server) poolOf(of Schema) *pool {
	h := fnv.New32a()
	h.Write([]byte(of.name))
	return s.tenants[h.Sum32()%uint32(len(s.tenants))].of(of)
}

// serverOf is the server of a schema, or the reason why there is none.
func (d *DB) serverOf(s Schema) (*server, error) {
	f := d.fleet.Load()
	if at := f.servers[s.Node()]; at != nil {
		return at, nil
	}
	name := f.refs[s.Node()]
	if name == "" {
		name = fmt.Sprint(s.Node())
	}
	return nil, fmt.Errorf("%w: %w: node %s", ErrUnavailable, ErrNoNode, name)
}

// none is a server that refuses everything.
func (d *DB) none(err error) *server {
	p := &pool{refuse: err, health: d.home.health, lines: d.lines, writes: d.writes}
	return &server{tenants: []*pool{p}, streams: p, admin: p, health: d.home.health}
}

// at is serverOf that refuses later.
func (d *DB) at(s Schema) *server {
	at, err := d.serverOf(s)
	if err != nil {
		return d.none(err)
	}
	return at
}

// LearnNodes reads which databases there are. A process calls it when it meets a node that it does not know; a node whose
// name was given no URL stays unknown to this process.
func (d *DB) LearnNodes(ctx context.Context) error {
	rows, err := d.Control().ListNodes(ctx, maxNodes)
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	d.learning.Lock()
	defer d.learning.Unlock()
	old := d.fleet.Load()
	next := &fleet{servers: maps.Clone(old.servers), refs: map[int32]string{}}
	var failed []error
	for _, n := range rows {
		if err := d.learn(ctx, next, n); err != nil {
			failed = append(failed, err)
		}
	}
	d.fleet.Store(next)
	return errors.Join(failed...)
}

func (d *DB) learn(ctx context.Context, f *fleet, n controldb.Node) error {
	if at := f.servers[n.NodeID]; n.DSNRef == "" || at != nil {
		if at != nil && at.worker != "" {
			at.renamed.Store(&n.Worker)
		}
		return nil
	}
	url, ok := d.cfg.Nodes[n.DSNRef]
	if !ok {
		f.refs[n.NodeID] = n.DSNRef
		return nil
	}
	cfg := d.cfg
	cfg.URL = url
	base, bouncer, err := parse(cfg)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.DSNRef, err)
	}
	if n.Label != "" {
		base.AfterConnect = carries(n.Label)
	}
	at, err := d.newServer(ctx, n.NodeID, base, bouncer, n.Worker)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.DSNRef, err)
	}
	at.label = n.Label
	if n.Worker != "" {
		at.admin.Close()
		at.admin = d.home.admin
	}
	if n.Worker == "" {
		err = d.replicasOf(ctx, at, n.DSNRef)
	} else if slices.ContainsFunc(d.cfg.Replicas, func(r Replica) bool { return r.Node == n.DSNRef }) {
		err = fmt.Errorf("%w: it is one of a worker of a Citus cluster, which are not read from (--database-replica)", ErrReplica)
	}
	if err != nil {
		at.close()
		return fmt.Errorf("node %s: %w", n.DSNRef, err)
	}
	f.servers[n.NodeID] = at
	return nil
}

// address is the worker's in the cluster's catalogue.
func (s *server) address() string {
	if now := s.renamed.Load(); now != nil {
		return *now
	}
	return s.worker
}

// Knows tells whether this process can reach the node of a schema, as far as it has learnt.
func (d *DB) Knows(s Schema) bool {
	_, err := d.serverOf(s)
	return err == nil
}

// PingNode tells whether the database of a node answers and can be used.
func (d *DB) PingNode(ctx context.Context, node int32) error {
	at, err := d.serverOf(Schema{node: node})
	if err != nil {
		return err
	}
	conn, err := d.connectNode(ctx, at)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// nodes is what DB keeps of its servers.
type nodes struct {
	home     *server
	fleet    atomic.Pointer[fleet]
	learning sync.Mutex
	moved    sync.Map     // name of a schema that this process saw moved → its node
	moves    atomic.Int64 // how often
}

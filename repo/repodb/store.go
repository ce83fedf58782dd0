package repodb

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/mst"
)

// Config bounds a Store. Zero values take the defaults.
type Config struct {
	// CacheBytes is about how much memory remembered heads and nodes may take. Default 256 MiB: some 10,000 accounts
	// that write.
	CacheBytes int
	// RecentBytes is about how much memory the newest changes of accounts may take (Store.Since). Default 32 MiB.
	RecentBytes int
	// KeepCommits is for how many commits of its repository a node is remembered after it was last touched. Default 16.
	KeepCommits int
	// MaxGroup is how many commits one transaction takes. Default 64.
	MaxGroup int
	// CommitTime bounds one transaction of commits, the wait for a synchronous standby included, which the server's
	// statement timeout (shorter) does not bound. Default 40 s.
	CommitTime time.Duration
	// ReadBack is how long a commit whose answer is missing is looked for, and how long what was found may take to be
	// durable. Default 15 s.
	ReadBack time.Duration
	// Exports is how many repositories may be read from the database at once; what a reader has not taken by then waits
	// in a spool. Each keeps a process of the database busy. Default: as many as there are processors, two at least, and
	// at most all but one of the connections that the database gives for long reads.
	Exports int
	// Spools is how many exports and imports may have a spool. Default 256.
	Spools int
	// SpoolDir is where exports to slow readers wait, and archives that come in. SpoolBytes is how much of one may,
	// SpoolTotal of all. Defaults: the system's, 8 GiB, 32 GiB.
	SpoolDir   string
	SpoolBytes int64
	SpoolTotal int64
	// Hub is told of every commit. Default: one nobody listens to.
	Hub *firehose.Hub
}

// A Store writes and reads the repositories of a deployment. It keeps caches, never truth: any number of processes may
// have one on the same database.
type Store struct {
	db   *db.DB
	keys *keyring.Keyring
	now  func() time.Time
	log  *slog.Logger
	hub  *firehose.Hub
	cfg  Config
	id   repo.TID // the clock id of this process's revisions

	life context.Context // ends with Close; groups on their way finish before
	stop context.CancelFunc

	mu      sync.Mutex
	repos   *cache.Cache[repoKey, *state] // a tenant that writes much pushes out its own
	recents *cache.Cache[repoKey, *recent]
	groups  map[db.Schema]*committer
	totals  map[db.Schema]Sum // what the tenants' records take, as heard last
	running sync.WaitGroup    // committers
	closed  bool

	// What imports and exports share, fairly by tenant and address.
	reading   *fair.Places // a connection to read a repository by
	importing *fair.Places // a processor and memory to check an archive
	spools    *fair.Places
	disk      *fair.Bytes // of all spools

	counts counts
}

// New makes a store. Close it before the database.
func New(d *db.DB, keys *keyring.Keyring, now func() time.Time, log *slog.Logger, cfg Config) *Store {
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 256 << 20
	}
	if cfg.RecentBytes == 0 {
		cfg.RecentBytes = 32 << 20
	}
	if cfg.KeepCommits == 0 {
		cfg.KeepCommits = 16
	}
	if cfg.MaxGroup == 0 {
		cfg.MaxGroup = 64
	}
	if cfg.CommitTime == 0 {
		cfg.CommitTime = 40 * time.Second
	}
	if cfg.ReadBack == 0 {
		cfg.ReadBack = 15 * time.Second
	}
	if cfg.Exports == 0 {
		cfg.Exports = max(1, min(max(2, fair.Processors), d.StreamConns()-1))
	}
	if cfg.Spools == 0 {
		cfg.Spools = 256
	}
	if cfg.SpoolBytes == 0 {
		cfg.SpoolBytes = 8 << 30
	}
	if cfg.SpoolTotal == 0 {
		cfg.SpoolTotal = 32 << 30
	}
	if cfg.Hub == nil {
		cfg.Hub = firehose.NewHub()
	}
	s := &Store{
		db: d, keys: keys, now: now, log: log, hub: cfg.Hub, cfg: cfg,
		repos:     cache.New[repoKey, *state](int64(cfg.CacheBytes), now),
		recents:   cache.New[repoKey, *recent](int64(cfg.RecentBytes), now),
		id:        repo.TID(rand.IntN(1 << 10)),
		groups:    map[db.Schema]*committer{},
		totals:    map[db.Schema]Sum{},
		reading:   fair.NewPlaces(cfg.Exports, fair.Waiting{Time: exportWait, First: 64, Whole: 8}),
		importing: fair.NewTurns(imports, fair.Waiting{Time: importWait, First: 32, Whole: 4}),
		spools:    fair.NewPlaces(cfg.Spools, fair.Waiting{}),
		disk:      fair.NewBytes(cfg.SpoolTotal),
	}
	s.repos.Busy = func(st *state) bool { return st.refs > 0 }
	s.life, s.stop = context.WithCancel(context.Background())
	return s
}

// Close refuses new writes and waits for those on their way.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	s.stop()
}

// nextRev is the revision of a commit that is made now and follows prev. Each process has a number of its own in it, so
// that two processes that race for one repository never make the same revision.
func (s *Store) nextRev(prev repo.TID, now time.Time) repo.TID {
	return repo.NextRev(prev, now)&^(1<<10-1) | s.id
}

type repoKey struct {
	schema db.Schema
	aid    int64
}

// state is what the process remembers of one repository. Only who holds the turn may use the fields below it.
type state struct {
	key  repoKey
	refs int // holder and waiters, under Store.mu; above 0 it stays

	turn chan struct{} // one token

	head *head     // nil: not known
	tree *mst.Tree // of head, holding the nodes touched lately; nil with head
}

// stateBytes is what a remembered repository takes besides its nodes.
const stateBytes = 1200

// acquire takes the repository's turn: writes to one repository follow each other.
func (s *Store) acquire(ctx context.Context, key repoKey) (*state, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	st, known := s.repos.Get(key)
	if !known {
		st = &state{key: key, turn: make(chan struct{}, 1)}
		st.turn <- struct{}{}
	}
	st.refs++
	if !known {
		s.repos.Put(key.schema.String(), key, st, stateBytes)
	}
	s.mu.Unlock()
	select {
	case <-st.turn:
		return st, nil
	case <-ctx.Done():
		s.mu.Lock()
		st.refs--
		s.mu.Unlock()
		return nil, ctx.Err()
	}
}

// release passes the turn on and, if there are too many, forgets the repositories that were used longest ago of the
// tenant that has most.
func (s *Store) release(st *state) {
	size := stateBytes
	if st.tree != nil {
		_, n := st.tree.Forget(s.cfg.KeepCommits)
		if n > s.cfg.CacheBytes/8 { // one repository may not push out all others
			st.know(st.head)
			n = 0
		}
		size += n
	}
	st.turn <- struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.refs--
	s.repos.Put(st.key.schema.String(), st.key, st, int64(size))
}

// Forget drops what is remembered of an account: it was deleted, or its signing key changed. Changes by other processes
// need no such call: the compare-and-set finds them out.
func (s *Store) Forget(ctx context.Context, schema db.Schema, aid int64) error {
	st, err := s.acquire(ctx, repoKey{schema, aid})
	if err != nil {
		return err
	}
	st.head, st.tree = nil, nil
	s.release(st)
	s.forgetRecent(st.key)
	return nil
}

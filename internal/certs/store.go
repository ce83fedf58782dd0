package certs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/keyring"
)

const (
	// lockTime is how long a lock is held without a word of its holder, lockBeat how often that says one.
	lockTime  = 45 * time.Second
	lockBeat  = 10 * time.Second
	lockRetry = 500 * time.Millisecond
	// maxItems bounds one listing.
	maxItems = 100_000
)

// Store is what certmagic keeps, in Postgres, so that each process answers for all: a [certmagic.Storage]. What it keeps
// is sealed, private keys or not. A lock ends with its process.
type Store struct {
	db     *db.DB
	keys   *keyring.Keyring
	now    func() time.Time
	holder string

	mu   sync.Mutex
	held map[string]func() // name → stops saying that it is held
}

// NewStore makes a store; each has locks of its own.
func NewStore(d *db.DB, keys *keyring.Keyring, now func() time.Time) *Store {
	return &Store{db: d, keys: keys, now: now, holder: rand.Text(), held: map[string]func(){}}
}

var _ certmagic.Storage = (*Store)(nil)

// String keeps certmagic's log short.
func (s *Store) String() string { return "postgres" }

func (s *Store) time() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// Binding is what an item is bound to: it is of the deployment. A path may be longer than what a binding takes.
func Binding(item string) keyring.Binding {
	sum := sha256.Sum256([]byte(item))
	return keyring.Binding{Schema: "control", Owner: hex.EncodeToString(sum[:]), Purpose: "tls_item"}
}

// Store implements certmagic.Storage.
func (s *Store) Store(ctx context.Context, item string, value []byte) error {
	// A value may be empty; a secret may not.
	sealed, err := s.keys.Seal(Binding(item), append([]byte{1}, value...))
	if err != nil {
		return fmt.Errorf("seal %s: %w", item, err)
	}
	return s.db.Control().UpsertTLSItem(ctx, controldb.UpsertTLSItemParams{Item: item, Sealed: sealed, Size: int64(len(value)), Now: s.time()})
}

// Load implements certmagic.Storage.
func (s *Store) Load(ctx context.Context, item string) ([]byte, error) {
	row, err := s.db.Control().GetTLSItem(ctx, item)
	if err != nil {
		return nil, missing(item, err)
	}
	value, err := s.keys.Open(Binding(item), row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", item, err)
	}
	return value[1:], nil
}

// missing makes of no row what certmagic understands.
func missing(item string, err error) error {
	if db.IsNoRows(err) {
		return fmt.Errorf("%s: %w", item, fs.ErrNotExist)
	}
	return err
}

// under is where the paths of a folder lie, in the order of bytes: '0' follows '/'.
func under(folder string) (after, before string) {
	folder = strings.TrimSuffix(folder, "/")
	return folder + "/", folder + "0"
}

// Delete implements certmagic.Storage.
func (s *Store) Delete(ctx context.Context, item string) error {
	after, before := under(item)
	_, err := s.db.Control().DeleteTLSItems(ctx, controldb.DeleteTLSItemsParams{Item: item, After: after, Before: before})
	return err
}

// Exists implements certmagic.Storage.
func (s *Store) Exists(ctx context.Context, item string) bool {
	after, before := under(item)
	n, err := s.db.Control().CountTLSItems(ctx, controldb.CountTLSItemsParams{Item: item, After: after, Before: before})
	return err == nil && n > 0
}

// List implements certmagic.Storage.
func (s *Store) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	after, before := under(folder)
	all, err := s.db.Control().ListTLSItems(ctx, controldb.ListTLSItemsParams{After: after, Before: before, MaxRows: maxItems})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", folder, fs.ErrNotExist)
	}
	if recursive {
		return all, nil
	}
	var out []string
	for _, item := range all {
		one, _, _ := strings.Cut(strings.TrimPrefix(item, after), "/")
		if one = after + one; len(out) == 0 || out[len(out)-1] != one {
			out = append(out, one)
		}
	}
	return out, nil
}

// Stat implements certmagic.Storage.
func (s *Store) Stat(ctx context.Context, item string) (certmagic.KeyInfo, error) {
	row, err := s.db.Control().GetTLSItem(ctx, item)
	if err == nil {
		return certmagic.KeyInfo{Key: item, Modified: row.ModifiedAt, Size: row.Size, IsTerminal: true}, nil
	}
	if db.IsNoRows(err) && s.Exists(ctx, item) {
		return certmagic.KeyInfo{Key: item}, nil
	}
	return certmagic.KeyInfo{}, missing(item, err)
}

// TryLock takes a lock if nobody has it.
func (s *Store) TryLock(ctx context.Context, name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] != nil {
		return false, nil
	}
	now := s.time()
	n, err := s.db.Control().UpsertTLSLock(ctx, controldb.UpsertTLSLockParams{Name: name, Holder: s.holder, HeldUntil: now.Add(lockTime), Now: now})
	if err != nil || n == 0 {
		return false, err
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.held[name] = stop
	go s.hold(beating, name)
	return true, nil
}

// hold says again and again that a lock is held.
func (s *Store) hold(ctx context.Context, name string) {
	tick := time.NewTicker(lockBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, err := s.db.Control().UpdateTLSLock(ctx, controldb.UpdateTLSLockParams{Name: name, Holder: s.holder, HeldUntil: s.time().Add(lockTime)})
		if err == nil && n == 0 {
			return // lost: it was silent for too long
		}
	}
}

// Lock implements certmagic.Locker.
func (s *Store) Lock(ctx context.Context, name string) error {
	for {
		ok, err := s.TryLock(ctx, name)
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s: %w", name, ctx.Err())
		case <-time.After(lockRetry):
		}
	}
}

// errNotHeld: a lock was given back twice, or lost.
var errNotHeld = errors.New("the lock is not held")

// Unlock implements certmagic.Locker. It works also when the order's time is over.
func (s *Store) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	stop := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	if stop == nil {
		return fmt.Errorf("unlock %s: %w", name, errNotHeld)
	}
	stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := s.db.Control().DeleteTLSLock(ctx, controldb.DeleteTLSLockParams{Name: name, Holder: s.holder})
	return err
}

package act

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/keyring"
)

// The states of master keys in control.master_key. Each key goes through them in this order.
const (
	keyAnnounced int16 = 1 // processes are to know it
	keySeals     int16 = 2 // there is one
	keyOpens     int16 = 3 // what it sealed is being resealed
	keyRefused   int16 = 4
)

// counterMasterKey numbers the changes of the list of master keys.
const counterMasterKey = "master_key"

var (
	// ErrKeyMissing: the master key by which the deployment seals, or one by which something is still sealed, was not given
	// to this process.
	ErrKeyMissing = errors.New("the deployment's master key is not among those that this process was given")
	// ErrKeyRefused: the key was in use once and is not any more.
	ErrKeyRefused = errors.New("the deployment does not use this master key any more")
)

// MasterKeys are the deployment's master keys: which there are, which one seals, and how one takes the place of another.
type MasterKeys struct {
	*TenantActs
	keys *keyring.Keyring
	// given reads again what the process was given; nil: that cannot be.
	given func(context.Context) (*keyring.Master, error)
	// settled is how long whoever has begun to seal something by the key of before needs to write it.
	settled time.Duration
	log     *slog.Logger

	mu       sync.Mutex
	revision int64
	pending  bool // a key is announced that is not here
	unfit    error
}

// keysSettled is how long a command that began before the new key sealed may go on with the one of before: it reads which
// one it is at its start. Work that takes longer is a job, and is waited for.
const keysSettled = 10 * time.Second

// NewMasterKeys makes them. given reads again the keys that the process was given, for one that is added while it runs; settled
// is 0 but in tests, whose clock stands still.
func NewMasterKeys(t *TenantActs, keys *keyring.Keyring, given func(context.Context) (*keyring.Master, error), settled time.Duration, log *slog.Logger) *MasterKeys {
	if settled == 0 {
		settled = keysSettled
	}
	return &MasterKeys{TenantActs: t, keys: keys, given: given, settled: settled, log: log, revision: -1}
}

// Adopt brings the keyring into agreement with the deployment's list of keys, and writes the list where there are tenants
// and none is written yet: then the keys given are taken for the right ones, so somebody has tried them before. found says
// whether there is a list. Errors: [ErrKeyMissing], [ErrKeyRefused], [keyring.ErrOtherMaster].
func (k *MasterKeys) Adopt(ctx context.Context, write bool) (found bool, err error) {
	rows, err := k.db.Control().ListMasterKeys(ctx)
	if db.IsUndefined(err) { // an older version's schema
		return false, nil
	}
	if err == nil && len(rows) == 0 && write {
		rows, err = k.begin(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("read which master keys there are: %w", err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	return true, k.apply(ctx, rows)
}

// begin writes the list, where there are tenants.
func (k *MasterKeys) begin(ctx context.Context) (rows []controldb.MasterKey, err error) {
	n, err := k.db.Control().CountTenants(ctx)
	if err != nil || n == 0 {
		return nil, err
	}
	used := sealedKeys{}
	if len(k.keys.Keys()) > 1 { // one that has sealed something is needed; another one may be the next
		if used, _, err = countSealed(ctx, k.db, func(controldb.Tenant, db.Schema, int, int64) error { return nil }); err != nil {
			return nil, err
		}
	}
	err = k.db.ControlTx(ctx, func(q *controldb.Queries) error {
		revision, err := q.LockNextCounter(ctx, counterMasterKey) // of two who write it the second finds it written
		if err != nil {
			return err
		}
		if rows, err = q.ListMasterKeys(ctx); err != nil || len(rows) > 0 {
			return err
		}
		now := k.now().UTC().Truncate(time.Microsecond)
		for _, key := range k.keys.Keys() {
			p := controldb.InsertMasterKeyParams{KeyID: int16(key.ID), Fingerprint: key.Fingerprint, State: keyOpens, Revision: revision, AddedAt: now}
			if key.ID == k.keys.Current() {
				p.State, p.SealsSince = keySeals, &now
			} else if used[int(key.ID)] == 0 {
				continue
			}
			if _, err := q.InsertMasterKey(ctx, p); err != nil {
				return err
			}
		}
		rows, err = q.ListMasterKeys(ctx)
		return err
	})
	return rows, err
}

// apply has the keyring do what the list says. What is missing is looked for once more where the process has its keys from.
func (k *MasterKeys) apply(ctx context.Context, rows []controldb.MasterKey) error {
	lacks := k.lacks(rows)
	if len(lacks) > 0 && k.given != nil {
		if m, err := k.given(ctx); err != nil {
			k.log.Warn("the master keys cannot be read again", "err", err)
		} else if err := k.keys.Learn(m); err != nil {
			return err
		}
		lacks = k.lacks(rows)
	}
	is := map[byte]string{}
	for _, key := range k.keys.Keys() {
		is[key.ID] = key.Fingerprint
	}
	var current controldb.MasterKey
	var refused []byte
	var newest int64
	pending := false
	for _, row := range rows {
		newest = max(newest, row.Revision)
		has, ok := is[byte(row.KeyID)]
		switch {
		case ok && has != row.Fingerprint:
			return fmt.Errorf("%w: the key %d that was given is not the deployment's key %d, whose fingerprint is %s", keyring.ErrOtherMaster, row.KeyID, row.KeyID, row.Fingerprint)
		case row.State == keyRefused:
			refused = append(refused, byte(row.KeyID))
		case row.State == keyAnnounced:
			pending = pending || !ok
		case row.State == keySeals:
			current = row
		}
	}
	for _, row := range lacks {
		if row.State != keyAnnounced {
			return missing(row, refused, is)
		}
	}
	if err := k.keys.Use(byte(current.KeyID), refused); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.revision, k.pending, k.unfit = newest, pending, nil
	return nil
}

// lacks are the keys of the list that open something, or are going to, and are not here.
func (k *MasterKeys) lacks(rows []controldb.MasterKey) (out []controldb.MasterKey) {
	held := k.keys.Keys()
	for _, row := range rows {
		if row.State != keyRefused && !slices.ContainsFunc(held, func(key keyring.Key) bool { return key.ID == byte(row.KeyID) }) {
			out = append(out, row)
		}
	}
	return out
}

// missing says what to do about a key that is not here.
func missing(row controldb.MasterKey, refused []byte, is map[byte]string) error {
	what := fmt.Sprintf("key %d, by which everything new is sealed", row.KeyID)
	if row.State == keyOpens {
		what = fmt.Sprintf("key %d, under which something may still be sealed", row.KeyID)
	}
	err := fmt.Errorf("%w: it needs %s (fingerprint %s)", ErrKeyMissing, what, row.Fingerprint)
	for _, id := range refused {
		if _, given := is[id]; given {
			err = fmt.Errorf("%w: key %d was replaced; %w", ErrKeyRefused, id, err)
		}
	}
	return err
}

// Report is for [process.Keys].
func (k *MasterKeys) Report() (fingerprints []string, revision int64) {
	for _, key := range k.keys.Keys() {
		fingerprints = append(fingerprints, key.Fingerprint)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return fingerprints, k.revision
}

// Follow is for [process.Keys]: the list is read where it has changed, and a key that is announced is looked for until it
// is here.
func (k *MasterKeys) Follow(ctx context.Context, newest int64) (changed bool) {
	held := len(k.keys.Keys())
	k.mu.Lock()
	was, pending := k.revision, k.pending
	k.mu.Unlock()
	if newest == was && !pending && newest >= 0 {
		return false
	}
	_, err := k.Adopt(ctx, true)
	if err != nil && (ctx.Err() != nil || db.IsUnavailable(err)) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if k.unfit == nil || k.unfit.Error() != err.Error() {
			k.log.Error("this process has not the master keys that the deployment uses; it seals nothing any more", "err", err)
		}
		k.unfit = err
		k.keys.StopSealing()
		return false
	}
	return k.revision != was || len(k.keys.Keys()) != held
}

// Source says how the keys that the process was given are read again. It is called before the process serves.
func (k *MasterKeys) Source(given func(context.Context) (*keyring.Master, error)) { k.given = given }

// Reload reads again what the process was given, and says how many keys are new.
func (k *MasterKeys) Reload(ctx context.Context) (added int, err error) {
	if k.given == nil {
		return 0, nil
	}
	m, err := k.given(ctx)
	if err != nil {
		return 0, err
	}
	before := len(k.keys.Keys())
	err = k.keys.Learn(m)
	return len(k.keys.Keys()) - before, err
}

// Fit says why a process that serves should not, as far as master keys go.
func (k *MasterKeys) Fit(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unfit
}

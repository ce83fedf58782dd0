package account

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/repo"
)

// Actor is what every request needs to know of an account.
type Actor struct {
	AID         int64
	DID         string
	Handle      string // "" when it has none that is valid
	TakenDown   bool
	Deactivated bool
	Epochs      Epochs
	HeadRev     repo.TID // of the newest commit; this process may know a newer one
}

// Active says whether the account is in use.
func (a *Actor) Active() bool { return !a.TakenDown && !a.Deactivated }

const (
	// DefaultCacheBytes bounds a [Cache]: some 60,000 accounts.
	DefaultCacheBytes = 32 << 20
	// Fresh is how old an answer may be for decisions that nothing checks again: what another process does to an account
	// is seen here that much later.
	Fresh = 2 * time.Second
	// Guarded is how old a good answer may be where the committer decides: it compares the account's status columns as it
	// writes, so a stale answer costs a refusal one round trip later, never a wrong write. A bad answer is asked for again
	// after Fresh, because nothing would correct a refusal.
	Guarded = 10 * time.Second
)

// Cache answers who an account is and in what state, mostly from memory. It is safe for concurrent use. Accounts that
// do not exist are not kept, so names that strangers make up take no room.
type Cache struct {
	db  *db.DB
	now func() time.Time

	mu   sync.Mutex
	kept *cache.Cache[cacheKey, *cached]
	// forgotten counts calls of Forget: an answer that was on its way during one may be from before the change.
	forgotten uint64
}

type cacheKey struct {
	schema db.Schema
	name   string // DID or handle: no handle begins with "did:"
}

type cached struct {
	key   cacheKey
	actor Actor
	asked time.Time
}

// bytes is what an entry takes beside its place in the cache.
func (c *cached) bytes() int64 {
	const itself = 216
	return int64(itself + len(c.key.name) + len(c.actor.DID) + len(c.actor.Handle))
}

// NewCache makes a cache of so many bytes; 0 means [DefaultCacheBytes].
func NewCache(d *db.DB, bytes int64, now func() time.Time) *Cache {
	if bytes <= 0 {
		bytes = DefaultCacheBytes
	}
	return &Cache{db: d, now: now, kept: cache.New[cacheKey, *cached](bytes, now)}
}

// ByDID finds an account; the answer may be as old as maxAge ([Fresh] or [Guarded]). Errors: [ErrNotFound].
func (c *Cache) ByDID(ctx context.Context, schema db.Schema, did string, maxAge time.Duration) (Actor, error) {
	return c.find(ctx, cacheKey{schema, did}, maxAge)
}

// ByHandle finds an account by its handle in lower case, as ByDID does.
func (c *Cache) ByHandle(ctx context.Context, schema db.Schema, handle string, maxAge time.Duration) (Actor, error) {
	return c.find(ctx, cacheKey{schema, handle}, maxAge)
}

// ByName finds an account by DID or handle, as the parameters called repo have it.
func (c *Cache) ByName(ctx context.Context, schema db.Schema, name string, maxAge time.Duration) (Actor, error) {
	return c.find(ctx, cacheKey{schema, Identifier(name)}, maxAge)
}

func (c *Cache) find(ctx context.Context, key cacheKey, maxAge time.Duration) (Actor, error) {
	a, forgotten, ok := c.get(key, maxAge)
	if ok {
		return a, nil
	}
	if len(key.name) > maxIdentifier || !isText(key.name) {
		return Actor{}, ErrNotFound
	}
	asked := c.now()
	q := c.db.Tenant(key.schema).Q()
	var row tenantdb.GetActorStatusRow
	var err error
	if strings.HasPrefix(key.name, "did:") {
		row, err = q.GetActorStatus(ctx, key.name)
	} else {
		var r tenantdb.GetActorStatusByHandleRow
		r, err = q.GetActorStatusByHandle(ctx, key.name)
		row = tenantdb.GetActorStatusRow(r)
	}
	if db.IsNoRows(err) {
		c.drop(key)
		return Actor{}, ErrNotFound
	}
	if err != nil {
		return Actor{}, fmt.Errorf("look for account: %w", err)
	}
	a = Actor{AID: row.AID, DID: row.DID, Handle: text(row.Handle), TakenDown: row.TakedownRef != nil, Deactivated: row.DeactivatedAt != nil, Epochs: Epochs{row.SessionEpoch, row.AppEpoch}, HeadRev: repo.TID(row.HeadRev)}
	c.put(&cached{key, a, asked}, forgotten)
	return a, nil
}

// Forget drops what is known of an account, after changing it: this process sees the change at once. It looks through
// all that is kept of the tenant (a millisecond at most), because the account may be in it under a handle it no longer
// has.
func (c *Cache) Forget(schema db.Schema, did string) {
	c.db.Changed(schema, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten++
	c.kept.RemoveIf(schema.String(), func(_ cacheKey, entry *cached) bool { return entry.actor.DID == did })
}

// ForgetSchema drops what is known of a tenant that is gone.
func (c *Cache) ForgetSchema(schema db.Schema) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten++
	c.kept.RemoveIf(schema.String(), func(cacheKey, *cached) bool { return true })
}

func (c *Cache) get(key cacheKey, maxAge time.Duration) (a Actor, forgotten uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, ok := c.kept.Get(key)
	if !ok {
		return Actor{}, c.forgotten, false
	}
	if !hit.actor.Active() {
		maxAge = min(maxAge, Fresh)
	}
	if age := c.now().Sub(hit.asked); age < 0 || age >= maxAge {
		return Actor{}, c.forgotten, false
	}
	return hit.actor, c.forgotten, true
}

func (c *Cache) put(entry *cached, forgotten uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten == forgotten {
		c.kept.Put(entry.key.schema.String(), entry.key, entry, entry.bytes())
	}
}

func (c *Cache) drop(key cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Remove(key)
}

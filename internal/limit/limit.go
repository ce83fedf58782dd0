// Package limit counts what callers do and says when it was too much.
//
// A decision is made from memory and costs no round trip. About once a second each process adds what it counted to a
// table in the tenant's schema and learns what all of them counted together, in one statement a tenant. So the limit
// holds exactly in one process; with n of them, each may in addition let pass what the others did since its last look:
// a second's worth, and in the first second of a window at most n times the limit. Windows are fixed and the same in
// all processes; they do not begin at the same moment for all keys.
package limit

import (
	"context"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

const (
	// FlushEvery is how often the processes tell each other.
	FlushEvery = time.Second
	// maxBytes bounds what is remembered, whatever strangers do: some 200,000 keys. Beyond it the least used are
	// forgotten: their counts are in the table, and come back with their next use.
	maxBytes = 64 << 20
	// entryBytes is what a key takes besides its text.
	entryBytes = 300
	// flushSlice bounds one statement.
	flushSlice = 2000
	cleanEvery = 5 * time.Minute
	cleanSlice = 1000
)

// Bucket is one limit: so many points a window for each key.
type Bucket struct {
	Name   string
	Points int64
	Window time.Duration
}

// Verdict is what came of a call, as the RateLimit headers tell it.
type Verdict struct {
	Limit     int64
	Remaining int64 // after this call
	Reset     time.Time
	Window    time.Duration
	Refused   bool
}

// Tighter says whether v leaves less than o does, or refuses.
func (v Verdict) Tighter(o Verdict) bool {
	return o.Limit == 0 || v.Refused && !o.Refused || v.Refused == o.Refused && v.Remaining < o.Remaining
}

// RetryAfter is in how many whole seconds the window ends, at least 1.
func (v Verdict) RetryAfter(now time.Time) int64 {
	return max(1, int64((v.Reset.Sub(now)+time.Second-1)/time.Second))
}

// Policy is the RateLimit-Policy header.
func (v Verdict) Policy() string {
	return strconv.FormatInt(v.Limit, 10) + ";w=" + strconv.FormatInt(int64(v.Window/time.Second), 10)
}

type entryKey struct {
	schema db.Schema
	bucket string
	key    string
}

type entry struct {
	endsAt  int64 // unix seconds
	limit   int64
	known   int64 // what all processes counted, as of the last look
	pending int64 // counted here and not told yet
}

func (e *entry) used() int64 { return e.known + e.pending }

// Counter is one process's counts. It is safe for concurrent use.
type Counter struct {
	db  *db.DB
	now func() time.Time
	log *slog.Logger

	mu      sync.Mutex
	entries map[entryKey]*entry
	bytes   int
	dirty   map[db.Schema]map[entryKey]struct{}
	cleaned map[db.Schema]time.Time
	refused map[string]int64 // charges since the start, by bucket
	failing bool
}

// New makes a counter. Other processes are heard of while [Counter.Run] runs.
func New(d *db.DB, now func() time.Time, log *slog.Logger) *Counter {
	return &Counter{
		db: d, now: now, log: log,
		entries: map[entryKey]*entry{}, dirty: map[db.Schema]map[entryKey]struct{}{}, cleaned: map[db.Schema]time.Time{}, refused: map[string]int64{},
	}
}

// Take charges cost to the key in every bucket, or in none when one of them has no room. percent stretches all limits;
// 100 is as they are. The verdict is the tightest bucket's.
func (c *Counter) Take(schema db.Schema, key string, cost int64, percent int, buckets ...Bucket) Verdict {
	return c.take(schema, key, cost, percent, buckets)
}

// Give takes a charge back.
func (c *Counter) Give(schema db.Schema, key string, cost int64, percent int, buckets ...Bucket) {
	c.take(schema, key, -cost, percent, buckets)
}

// Look is Take of nothing: it says whether a call of that cost would pass.
func (c *Counter) Look(schema db.Schema, key string, cost int64, percent int, buckets ...Bucket) Verdict {
	v := c.take(schema, key, 0, percent, buckets)
	v.Refused = v.Remaining < cost
	return v
}

func (c *Counter) take(schema db.Schema, key string, cost int64, percent int, buckets []Bucket) Verdict {
	now := c.now()
	var tightest Verdict
	found := make([]*entry, len(buckets))
	c.mu.Lock()
	defer c.mu.Unlock()
	refused := false
	for i, b := range buckets {
		k := entryKey{schema, b.Name, key}
		points := max(1, b.Points*int64(percent)/100)
		ends := windowEnd(k, b.Window, now)
		e := c.entries[k]
		if e == nil || e.endsAt != ends {
			if e == nil {
				if c.bytes+k.weight() > maxBytes {
					c.makeRoom(now)
				}
				c.bytes += k.weight()
			}
			e = &entry{endsAt: ends}
			c.entries[k] = e
		}
		e.limit = points
		found[i] = e
		refused = refused || cost >= 0 && e.used()+cost > points
	}
	for i, b := range buckets {
		e := found[i]
		k := entryKey{schema, b.Name, key}
		if !refused && cost != 0 {
			e.pending += cost
			if c.dirty[schema] == nil {
				c.dirty[schema] = map[entryKey]struct{}{}
			}
			c.dirty[schema][k] = struct{}{}
		}
		v := Verdict{Limit: e.limit, Remaining: max(0, e.limit-e.used()), Reset: time.Unix(e.endsAt, 0), Window: b.Window}
		v.Refused = refused && e.used()+cost > e.limit
		if v.Refused && cost > 0 {
			c.refused[b.Name]++
		}
		if v.Tighter(tightest) {
			tightest = v
		}
	}
	return tightest
}

// Refused is how many charges found no room since the start, by the bucket's name.
func (c *Counter) Refused() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.refused)
}

// windowEnd is the end of the key's window. Each key's windows begin at another moment, the same in all processes, so
// that not everybody comes back at once.
func windowEnd(k entryKey, window time.Duration, now time.Time) int64 {
	w := max(1, int64(window/time.Second))
	h := fnv.New64a()
	_, _ = io.WriteString(h, k.key)
	shift := int64(h.Sum64() % uint64(w))
	return (now.Unix()-shift)/w*w + w + shift
}

// Run tells and asks until the context ends, and a last time then.
func (c *Counter) Run(ctx context.Context) error {
	tick := time.NewTicker(FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			c.Flush(last)
			return nil
		case <-tick.C:
			c.Flush(ctx)
		}
	}
}

// Flush tells every tenant's table what was counted, and takes over the sums. What cannot be told is kept.
func (c *Counter) Flush(ctx context.Context) {
	c.mu.Lock()
	schemas := make([]db.Schema, 0, len(c.dirty))
	for s := range c.dirty {
		schemas = append(schemas, s)
	}
	c.mu.Unlock()
	var failed error
	for _, s := range schemas {
		for {
			more, err := c.flush(ctx, s)
			if err != nil {
				failed = err
			}
			if !more || err != nil {
				break
			}
		}
		c.clean(ctx, s)
	}
	switch {
	case failed != nil && !c.failing && ctx.Err() == nil && !db.IsUnavailable(failed): // which db tells the log
		c.log.Warn("rate limits are counted in this process only", "err", failed)
	case failed == nil && c.failing:
		c.log.Info("rate limits are counted together again")
	}
	c.failing = failed != nil
}

type told struct {
	k      entryKey
	endsAt int64
	points int64
}

func (c *Counter) flush(ctx context.Context, schema db.Schema) (more bool, err error) {
	var list []told
	now := c.now().Unix()
	c.mu.Lock()
	for k := range c.dirty[schema] {
		if len(list) == flushSlice {
			more = true
			break
		}
		delete(c.dirty[schema], k)
		// A window that has ended while the database was away is nobody's concern any more.
		if e := c.entries[k]; e != nil && e.pending != 0 && e.endsAt > now {
			list = append(list, told{k, e.endsAt, e.pending})
			e.known += e.pending // until the answer says more
			e.pending = 0
		}
	}
	if len(c.dirty[schema]) == 0 {
		delete(c.dirty, schema)
	}
	c.mu.Unlock()
	if len(list) == 0 {
		return more, nil
	}
	// In one order in all processes, so that two statements cannot wait for each other.
	slices.SortFunc(list, func(a, b told) int {
		if n := strings.Compare(a.k.bucket, b.k.bucket); n != 0 {
			return n
		}
		return strings.Compare(a.k.key, b.k.key)
	})
	var arg tenantdb.UpsertLimitCountsParams
	for _, l := range list {
		arg.Buckets = append(arg.Buckets, l.k.bucket)
		arg.Keys = append(arg.Keys, l.k.key)
		arg.Ends = append(arg.Ends, l.endsAt)
		arg.Points = append(arg.Points, l.points)
	}
	rows, err := c.db.Tenant(schema).Q().UpsertLimitCounts(db.Routine(ctx), arg)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		for _, l := range list {
			if e := c.entries[l.k]; e != nil && e.endsAt == l.endsAt {
				e.known -= l.points
				e.pending += l.points
				if c.dirty[schema] == nil {
					c.dirty[schema] = map[entryKey]struct{}{}
				}
				c.dirty[schema][l.k] = struct{}{}
			}
		}
		return false, err
	}
	for _, r := range rows {
		if e := c.entries[entryKey{schema, r.Bucket, r.Key}]; e != nil && e.endsAt == r.EndsAt {
			e.known = r.Points
		}
	}
	return more, nil
}

// clean deletes the counts of windows that ended, now and then.
func (c *Counter) clean(ctx context.Context, schema db.Schema) {
	now := c.now()
	c.mu.Lock()
	due := now.Sub(c.cleaned[schema]) >= cleanEvery
	if due {
		c.cleaned[schema] = now
	}
	c.mu.Unlock()
	for due {
		n, err := c.db.Tenant(schema).Q().DeleteLimitCounts(ctx, tenantdb.DeleteLimitCountsParams{Before: now.Unix(), MaxRows: cleanSlice})
		if err != nil || n < cleanSlice {
			return
		}
	}
}

package limit_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/limit"
)

type clock struct{ at atomic.Int64 }

func (c *clock) Now() time.Time      { return time.Unix(0, c.at.Load()) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }

func newClock() *clock {
	c := new(clock)
	c.at.Store(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

var quiet = slog.New(slog.DiscardHandler)

// admitted is how many of n calls pass.
func admitted(c *limit.Counter, s db.Schema, key string, n int, b ...limit.Bucket) (passed int) {
	for range n {
		if !c.Take(s, key, 1, 100, b...).Refused {
			passed++
		}
	}
	return passed
}

func TestOneProcess(t *testing.T) {
	d := dbtest.New(t)
	s, other := dbtest.Tenant(t, d), dbtest.Tenant(t, d)
	c := newClock()
	counter := limit.New(d, c.Now, quiet)
	short, long := limit.Bucket{"short", 10, time.Minute}, limit.Bucket{"long", 25, time.Hour}
	if n := admitted(counter, s, "1.2.3.4", 20, short); n != 10 {
		t.Errorf("%d passed", n)
	}
	v := counter.Take(s, "1.2.3.4", 1, 100, short)
	if !v.Refused || v.Remaining != 0 || v.Limit != 10 || v.Policy() != "10;w=60" || !v.Reset.After(c.Now()) || v.Reset.Sub(c.Now()) > time.Minute || v.RetryAfter(c.Now()) < 1 {
		t.Errorf("%+v", v)
	}
	if n := admitted(counter, s, "1.2.3.5", 20, short); n != 10 {
		t.Errorf("another key: %d passed", n)
	}
	if n := admitted(counter, other, "1.2.3.4", 20, short); n != 10 {
		t.Errorf("another tenant: %d passed", n)
	}
	c.add(time.Minute)
	if n := admitted(counter, s, "1.2.3.4", 20, short); n != 10 {
		t.Errorf("next window: %d passed", n)
	}
	// Two buckets: a refusal by one costs nothing in the other, and the tightest is told.
	for range 3 {
		admitted(counter, s, "x", 20, short, long)
		c.add(time.Minute)
	}
	if v := counter.Look(s, "x", 1, 100, long); v.Remaining != 0 {
		t.Errorf("long: %+v", v)
	}
	if v := counter.Take(s, "x", 1, 100, short, long); !v.Refused || v.Limit != 25 {
		t.Errorf("tightest: %+v", v)
	}
	// Costs and factors.
	if v := counter.Take(s, "y", 11, 100, short); !v.Refused || v.Remaining != 10 {
		t.Errorf("too dear: %+v", v)
	}
	if v := counter.Take(s, "y", 11, 200, short); v.Refused || v.Remaining != 9 {
		t.Errorf("twice the limit: %+v", v)
	}
}

// Several processes share one limit: exactly, once they have told each other; within the first second each may use it
// up alone.
func TestManyProcesses(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s := dbtest.Tenant(t, d)
	c := newClock()
	const nodes = 3
	var counters []*limit.Counter
	for range nodes {
		counters = append(counters, limit.New(dbtest.Open(t, url), c.Now, quiet))
	}
	b := limit.Bucket{"b", 300, time.Hour}
	total := 0
	for range 60 { // rounds of a second: each node gets 5 calls, then all flush at once
		for _, n := range counters {
			total += admitted(n, s, "k", 5, b)
		}
		var wg sync.WaitGroup
		for _, n := range counters {
			wg.Go(func() { n.Flush(t.Context()) })
		}
		wg.Wait()
	}
	if total < 300 || total > 300+(nodes-1)*5+5 {
		t.Errorf("%d passed of 300: the tolerance is what the others did in a second", total)
	}
	// A process that was started anew knows after its first look.
	fresh := limit.New(d, c.Now, quiet)
	admitted(fresh, s, "k", 1, b)
	fresh.Flush(t.Context())
	if n := admitted(fresh, s, "k", 10, b); n != 0 {
		t.Errorf("%d passed after a restart", n)
	}
	c.add(2 * time.Hour)
	counters[0].Take(s, "z", 1, 100, b)
	counters[0].Flush(t.Context())
	n, err := d.Tenant(s).Q().CountLimitRows(t.Context())
	if err != nil || n != 1 {
		t.Errorf("%d rows are left of windows that ended (%v)", n, err)
	}
}

// A database that is away makes limits local and loses nothing.
func TestDatabaseAway(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s := dbtest.Tenant(t, d)
	c := newClock()
	broken := dbtest.Open(t, url)
	counter := limit.New(broken, c.Now, quiet)
	b := limit.Bucket{"b", 10, time.Hour}
	admitted(counter, s, "k", 4, b)
	broken.Close()
	counter.Flush(t.Context())
	if n := admitted(counter, s, "k", 20, b); n != 6 {
		t.Errorf("%d passed", n)
	}
}

func BenchmarkTake(b *testing.B) {
	c := limit.New(nil, time.Now, quiet)
	var s db.Schema
	bucket := limit.Bucket{"b", 1 << 40, time.Hour}
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("10.0.0.%d", i)
	}
	i := 0
	for b.Loop() {
		c.Take(s, keys[i%1000], 1, 100, bucket)
		i++
	}
}

// However many keys strangers make up, and whether the database answers or not, memory has an end; who has used up a
// limit is remembered longest.
func TestMemoryHasAnEnd(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s := dbtest.Tenant(t, d)
	c := newClock()
	b := limit.Bucket{"b", 10, time.Hour}
	for _, away := range []bool{false, true} {
		pool := dbtest.Open(t, url)
		counter := limit.New(pool, c.Now, quiet)
		admitted(counter, s, fmt.Sprint("heavy", away), 20, b)
		if away {
			pool.Close()
		} else {
			counter.Flush(t.Context())
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before := int64(m.HeapAlloc)
		began := time.Now()
		for i := range limit.MaxEntries * 11 / 10 {
			// Half of them use so much that they count as heavy.
			cost := int64(1 + i%2*8)
			counter.Take(s, fmt.Sprintf("%d.%d.%d.%d", i>>24, i>>16&255, i>>8&255, i&255), cost, 100, b)
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		if grown := int64(m.HeapAlloc) - before; grown > 100<<20 {
			t.Errorf("away %v: grown by %d MB", away, grown>>20)
		} else {
			t.Logf("away %v: grown by %d MB", away, grown>>20)
		}
		all, untold := counter.Remembered()
		if all > limit.MaxEntries || untold > all {
			t.Errorf("away %v: %d keys are remembered, %d untold", away, all, untold)
		}
		if v := counter.Look(s, fmt.Sprint("heavy", away), 1, 100, b); !v.Refused {
			t.Errorf("away %v: who had used up the limit is forgotten: %+v", away, v)
		}
		// What one call costs may not grow with what is remembered: a look through everything is for many calls.
		if took := time.Since(began); took > time.Minute {
			t.Errorf("away %v: %s", away, took)
		}
		if away {
			// Windows that end meanwhile are not kept for telling.
			c.add(2 * time.Hour)
			for range limit.MaxEntries/2000 + 1 {
				counter.Flush(t.Context())
			}
			if _, untold := counter.Remembered(); untold != 0 {
				t.Errorf("%d keys of windows that have ended wait to be told", untold)
			}
		}
	}
}

// TestFloodForgetsItsOwn: keys that strangers make up at one tenant cost another none of its counts, however few calls
// those are of.
func TestFloodForgetsItsOwn(t *testing.T) {
	d := dbtest.Open(t, dbtest.URL(t))
	loud, quieter := dbtest.Tenant(t, d), dbtest.Tenant(t, d)
	counter := limit.New(d, newClock().Now, quiet)
	b := limit.Bucket{"b", 10, time.Hour}
	for i := range 1000 {
		counter.Take(quieter, fmt.Sprint("neighbour", i), 1, 100, b)
	}
	long := strings.Repeat("a", 8000)
	for i := range 10_000 {
		counter.Take(loud, fmt.Sprint(long, i), 9, 100, b)
	}
	if all, _ := counter.Remembered(); all > 9000 {
		t.Errorf("%d keys are remembered", all)
	}
	lost := 0
	for i := range 1000 {
		if v := counter.Look(quieter, fmt.Sprint("neighbour", i), 1, 100, b); v.Remaining != 9 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of the neighbour's 1000 counts are forgotten", lost)
	}
}

package repodb

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
)

// How fast records are written and read on a worker of a Citus cluster, straight and read through the coordinator, beside a
// plain server: LOCUS_BENCH_CITUS=3 measures three seconds each, in turn, and LOCUS_TEST_CITUS_URL names the cluster. It is a
// test since it needs a server of each kind, and runs only when asked for.
func TestCitusRates(t *testing.T) {
	seconds, _ := strconv.ParseFloat(os.Getenv("LOCUS_BENCH_CITUS"), 64) // not asked for
	if seconds == 0 || !dbtest.Citus(t) {
		return
	}
	var ways []*rated
	cluster := dbtest.New(t)
	ways = append(ways, newRated(t, "worker", cluster, dbtest.Tenant(t, cluster)))
	t.Run("plain", func(t *testing.T) {
		dbtest.Plain(t, "the plain server that it is compared with")
		plain := dbtest.New(t)
		ways = append(ways, newRated(t, "plain", plain, dbtest.Tenant(t, plain)))
		var made []time.Duration
		for range 5 {
			for _, d := range []*db.DB{cluster, plain} {
				began := time.Now()
				dbtest.Tenant(t, d)
				made = append(made, time.Since(began))
			}
		}
		t.Logf("a schema is made in (worker, plain): %v", made)
		growth(t, cluster)
		for round := range 3 {
			for _, w := range ways {
				w.run(t, round, "write", w.schema, seconds)
			}
			for _, w := range ways {
				w.run(t, round, "read", w.schema, seconds)
			}
			ways[0].run(t, round, "read through the coordinator", ways[0].schema.On(db.HomeNode), seconds)
		}
	})
}

// growth is how much each server of the cluster grows with a tenant, empty as it is: all have the names of its tables.
func growth(t *testing.T, d *db.DB) {
	const many = 10
	sizes := func() (all []int64) {
		for _, n := range []int32{db.HomeNode, 2, 3} {
			size, err := d.LookAtNode(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, size.Bytes)
		}
		return all
	}
	before := sizes()
	for range many {
		dbtest.Tenant(t, d)
	}
	for i, after := range sizes() {
		t.Logf("server %d of the cluster: %d KB for each of %d tenants, of which the workers have half each", i+1, (after-before[i])/many/1024, many)
	}
}

type rated struct {
	name   string
	s      *Store
	schema db.Schema
	aids   []int64
	dids   []string
	n      int
}

func newRated(t *testing.T, name string, d *db.DB, schema db.Schema) *rated {
	w := &rated{name: name, s: newStore(t, d, newKeys(t), Config{}), schema: schema}
	for range 8 {
		aid, did := newRepo(t, d, w.s.keys, schema)
		mustWrite(t, w.s, schema, aid, create("app.bsky.feed.post/read", post("read")))
		w.aids, w.dids = append(w.aids, aid), append(w.dids, did)
	}
	return w
}

func (w *rated) run(t *testing.T, round int, what string, schema db.Schema, seconds float64) {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var group sync.WaitGroup
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	w.n++
	for k, aid := range w.aids {
		group.Go(func() {
			var mine []time.Duration
			for i := 0; time.Now().Before(end); i++ {
				began := time.Now()
				if what == "write" {
					mustWrite(t, w.s, schema, aid, create(fmt.Sprintf("app.bsky.feed.post/%d-%d", w.n, i), post("x")))
				} else if _, _, err := w.s.GetRecord(t.Context(), schema, w.dids[k], "app.bsky.feed.post/read"); err != nil {
					t.Error(err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	group.Wait()
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	t.Logf("%d: %s, %s: %.0f/s, p50 %v, p99 %v", round, w.name, what, float64(len(took))/seconds, took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond))
}

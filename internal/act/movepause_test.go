package act_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// fillFast writes records a hundred at a time.
func (w *town) fillFast(b *testing.T, records int) {
	b.Helper()
	var group sync.WaitGroup
	share := records / len(w.aids)
	for _, aid := range w.aids {
		group.Go(func() {
			for n := 0; n < share; n += 100 {
				_, err := w.parts.Repos.Write(b.Context(), w.tenant.Schema, aid, repodb.Options{}, func(*repodb.View) (all []repo.Write, err error) {
					for i := n; i < min(n+100, share); i++ {
						path := fmt.Sprintf("app.bsky.feed.post/f%09d", i)
						all = append(all, repo.Write{Action: repo.ActionCreate, Path: path, Record: post(path)})
					}
					return all, nil
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// How long writers wait while a tenant moves, and would wait if none wrote, by how many records it has:
// LOCUS_BENCH_MOVE=10000,100000. It is a test since it needs what the tests of moves need, and runs only when asked for.
func TestMovePauses(t *testing.T) {
	sizes := strings.FieldsFunc(os.Getenv("LOCUS_BENCH_MOVE"), func(r rune) bool { return r == ',' })
	for _, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		second := ""
		if os.Getenv("LOCUS_TEST_CITUS_URL") == "" {
			second = dbtest.EmptyURL(t)
		}
		w := newTown(t, second, 20)
		w.fillFast(t, n)
		to := func(now int32, i int) string {
			if second == "" { // between the workers of a cluster
				_, name := other(now)
				return name
			}
			return []string{"second", tenant.HomeName}[i%2]
		}
		var pauses [2][]int64 // with writers, and with nobody: what is not the rows that they write
		for i := range 10 {
			with := i / 5
			stop := func() []error { return nil }
			if with == 0 {
				_, _, later := w.process()
				stop = w.writers(w.parts.Repos, later)
			}
			d, r, _ := w.process()
			acts, jobs := runner(d, r, func(context.Context, string) error { return nil })
			spec, err := acts.StartMove(t.Context(), w.now2(r), act.Operator{}, to(w.now2(r).NodeID, i), 0)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			j, err := jobs.Do(t.Context(), spec, nil)
			var got act.Moved
			if err != nil || j.State != job.Done || j.Into(&got) != nil {
				t.Fatalf("%+v: %v", j, err)
			}
			for _, err := range stop() {
				t.Error("a write was refused:", err)
			}
			pauses[with] = append(pauses[with], got.PauseMillis)
			t.Logf("%d records: %d rows, paused for %d ms of %v", n, got.Rows, got.PauseMillis, time.Since(began).Round(time.Millisecond))
		}
		for with, what := range []string{"with writers", "with nobody"} {
			slices.Sort(pauses[with])
			t.Logf("%d records, %s: median pause %d ms", n, what, pauses[with][2])
		}
	}
}

package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/tenant"
)

// A process that is killed at any statement of an upgrade of a tenant leaves it to another one: nobody is served from a
// schema that is half of two versions, and afterwards it has the tables of the new one.
func TestKilledInAnUpgrade(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	made := create(t, logless(d, t), tenant.Spec{Hostname: "pds.test"})
	conn := dial(t, url)
	shape := func() (text string) {
		t.Helper()
		err := conn.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', c.relname, c.relkind, c.reltoastrelid <> 0, a.attname, a.atttypid, a.attnotnull), ';' ORDER BY c.relname, a.attname)
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.relnamespace = $1::regnamespace`, made.Schema.String()).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	older(t, d, url, made)
	if _, err := logless(d, t).ByHost(t.Context(), "pds.test"); err != nil {
		t.Fatal(err)
	}
	want := shape()
	// A run tries some round trips, and the next run others; LOCUS_TEST_KILLS=all tries each.
	n, stride := 1+rand.IntN(6), 6
	if os.Getenv("LOCUS_TEST_KILLS") == "all" {
		n, stride = 1, 1
	}
	deaths := 0
	for died := true; died; n += stride {
		after := rand.IntN(2) == 0
		where := fmt.Sprintf("killed at %d (after: %v)", n, after)
		older(t, d, url, made)
		proxy := dbtest.NewProxy(t, url)
		mortal := dbtest.Open(t, proxy.URL())
		first := logless(mortal, t)
		if got, err := first.Get(t.Context(), "pds.test"); err != nil || got.State != tenant.Behind {
			t.Fatalf("%s: %+v: %v", where, got, err)
		}
		if after {
			proxy.DieAfter(n)
		} else {
			proxy.DieBefore(n)
		}
		type answer struct {
			tenant.Match
			error
		}
		answers := make(chan answer, 1)
		asks, hangUp := context.WithCancel(t.Context())
		go func() {
			m, err := first.ByHost(asks, "pds.test")
			answers <- answer{m, err}
		}()
		var a answer
		for waits := true; waits; {
			select {
			case a = <-answers:
				waits = false
			case <-time.After(time.Millisecond):
				if waits = proxy.Cuts() == 0; !waits {
					hangUp() // from the dead nobody gets an answer
					a = <-answers
				}
			}
		}
		hangUp()
		m, err := a.Match, a.error
		if died = proxy.Disarm() > 0; died {
			deaths++
		} else if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if err == nil && m.Usable() == nil && shape() != want {
			t.Errorf("%s: it is served from what is half done", where)
		}
		mortal.Close()
		second := logless(d, t)
		// What another process makes of it before it goes on: behind, or whole.
		if got, err := second.Get(t.Context(), "pds.test"); err != nil || got.State == tenant.Active && shape() != want || got.State != tenant.Active && !errors.Is(got.Usable(), tenant.ErrBehind) {
			t.Errorf("%s: another process thinks that it is %+v: %v", where, got, err)
		}
		if m, err := second.ByHost(t.Context(), "pds.test"); err != nil || m.Usable() != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if got := shape(); got != want {
			t.Errorf("%s: %s\nwant %s", where, got, want)
		}
	}
	if deaths == 0 {
		t.Error("nobody was killed")
	}
}

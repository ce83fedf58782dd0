package firehose_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/firehose"
)

// relay counts what it is told.
type relay struct {
	*httptest.Server
	mu    sync.Mutex
	told  map[string]int
	fails atomic.Int32
}

func newRelay(t *testing.T) *relay {
	r := &relay{told: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var in struct{ Hostname string }
		if q.Method != http.MethodPost || q.URL.Path != "/xrpc/com.atproto.sync.requestCrawl" || json.NewDecoder(q.Body).Decode(&in) != nil {
			t.Errorf("%s %s", q.Method, q.URL)
		}
		if r.fails.Add(-1) >= 0 {
			http.Error(w, `{"error":"HostBanned"}`, http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told[in.Hostname]++
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *relay) times(host string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told[host]
}

type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// noteTenant gives a schema its row in control.
func noteTenant(t *testing.T, d *db.DB, s db.Schema) {
	t.Helper()
	err := d.Control().InsertTenant(t.Context(), controldb.InsertTenantParams{
		TenantID: 1, Hostname: "a.test", SchemaName: s.String(), ServiceDID: "did:web:a.test", NodeID: 1, State: 1,
		Settings: []byte("{}"), Revision: 1, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnnounce: of several nodes one tells each relay, at once, then not for twenty minutes, and then once more if
// there was anything in between. A tenant that does not answer is not announced.
func TestAnnounce(t *testing.T) {
	d := dbtest.New(t)
	schema := dbtest.Tenant(t, d)
	noteTenant(t, d, schema)
	tenant, now := d.Tenant(schema), new(clock)
	one, two := newRelay(t), newRelay(t)
	var ready atomic.Bool
	cfg := firehose.KeeperConfig{Client: http.DefaultClient, Ready: func(context.Context, string) error {
		if !ready.Load() {
			return errors.New("starting")
		}
		return nil
	}}
	var nodes []*firehose.Keeper
	for range 3 {
		nodes = append(nodes, firehose.NewKeeper(d, now.now, slog.New(slog.DiscardHandler), cfg))
	}
	site := firehose.Site{Schema: schema, Hostname: "a.test", Crawlers: []string{one.URL, two.URL + "/"}}
	all := func() (again bool) {
		t.Helper()
		var wg sync.WaitGroup
		var left atomic.Bool
		for _, k := range nodes {
			wg.Go(func() {
				next, err := k.Announce(t.Context(), site)
				if err != nil && ready.Load() {
					t.Error(err)
				}
				if err != nil || !next.IsZero() {
					left.Store(true)
				}
			})
		}
		wg.Wait()
		return left.Load()
	}
	told := func(what string, a, b int) {
		t.Helper()
		if one.times("a.test") != a || two.times("a.test") != b {
			t.Errorf("%s: told %d and %d times, want %d and %d", what, one.times("a.test"), two.times("a.test"), a, b)
		}
	}
	event := func() { appendEvents(t, tenant, firehose.NewIdentity(1, did, "a.test", now.now())) }
	all()
	told("no events", 0, 0)
	event()
	if !all() {
		t.Error("nothing is left to do, although nobody was told")
	}
	told("not ready", 0, 0)
	ready.Store(true)
	all()
	told("first event", 1, 1)
	if all() {
		t.Error("something is left to do")
	}
	event()
	event()
	if !all() {
		t.Error("the last call is forgotten")
	}
	told("within twenty minutes", 1, 1)
	now.ahead.Add(int64(21 * time.Minute))
	two.fails.Store(1)
	all()
	told("at the end of them", 2, 1)
	now.ahead.Add(int64(time.Minute))
	all()
	told("soon after the refusal", 2, 1)
	now.ahead.Add(int64(90 * time.Second))
	all()
	told("again after a refusal", 2, 2)
	now.ahead.Add(int64(2 * time.Hour))
	if all() {
		t.Error("something is left to do")
	}
	told("nothing new", 2, 2)
}

// TestDropOld: what is behind the window is dropped, in batches, and only that, however many do it at once; and it is
// known when there is something again.
func TestDropOld(t *testing.T) {
	d := dbtest.New(t)
	schema := dbtest.Tenant(t, d)
	tenant, now := d.Tenant(schema), time.Now()
	var events []firehose.Event
	for range 5000 {
		events = append(events, firehose.NewAccount(1, did, true, "", now.Add(-80*time.Hour)))
	}
	appendEvents(t, tenant, events...)
	last := appendEvents(t, tenant, firehose.NewAccount(1, did, true, "", now.Add(-71*time.Hour)), firehose.NewAccount(1, did, true, "", now))
	site := firehose.Site{Schema: schema, Window: 72 * time.Hour}
	var wg sync.WaitGroup
	var dropped atomic.Int64
	for range 4 {
		k := firehose.NewKeeper(d, time.Now, slog.New(slog.DiscardHandler), firehose.KeeperConfig{})
		wg.Go(func() {
			n, next, err := k.DropOld(t.Context(), site)
			if want := now.Add(site.Window); err != nil || next.Before(want.Add(-time.Minute)) || next.After(want.Add(time.Minute)) {
				t.Errorf("next at %s, want %s: %v", next, want, err)
			}
			dropped.Add(n)
		})
	}
	wg.Wait()
	if dropped.Load() != 5000 {
		t.Errorf("%d events were dropped", dropped.Load())
	}
	left := stored(t, d, schema)
	if len(left) != 2 || left[1].Seq != last {
		t.Errorf("%d events are left", len(left))
	}
	if holes, err := tenant.Q().CountSeqHoles(t.Context()); err != nil || holes != 0 {
		t.Error(holes, err)
	}
}

// TestHubIsAHint: the hub of a process nobody listens in costs nothing and keeps nothing.
func TestHubIsAHint(t *testing.T) {
	h := firehose.NewHub()
	n := testing.AllocsPerRun(100, func() { h.Notify(db.Schema{}, 1) })
	if n > 0 {
		t.Error(n, "allocations")
	}
}

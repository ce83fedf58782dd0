package firehose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/firehose"
)

// moodyRelay answers everybody, nobody, or not everybody.
type moodyRelay struct {
	*httptest.Server
	mu     sync.Mutex
	down   bool
	bans   map[string]bool // it says no
	stalls map[string]bool // it does not answer, because it cannot reach the host
	asked  map[string]int
	told   map[string]int
	health int
}

func newMoodyRelay(t *testing.T) *moodyRelay {
	r := &moodyRelay{bans: map[string]bool{}, stalls: map[string]bool{}, asked: map[string]int{}, told: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		var in struct{ Hostname string }
		switch {
		case q.URL.Path == "/xrpc/_health":
			r.health++
		case q.URL.Path != "/xrpc/com.atproto.sync.requestCrawl" || json.NewDecoder(q.Body).Decode(&in) != nil:
			t.Errorf("%s %s", q.Method, q.URL)
		default:
			r.asked[in.Hostname]++
		}
		switch {
		case r.down || r.stalls[in.Hostname]:
			panic(http.ErrAbortHandler) // the connection ends without a word
		case r.bans[in.Hostname]:
			http.Error(w, `{"error":"HostBanned"}`, http.StatusBadRequest)
		case in.Hostname != "":
			r.told[in.Hostname]++
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *moodyRelay) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// crawled is how often it was asked, by all.
func (r *moodyRelay) crawled() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.asked {
		n += times
	}
	return n
}

// announcers are servers that look at tenants when it is due, each at those that fall to it.
type announcers struct {
	t     *testing.T
	now   *clock
	nodes []*firehose.Keeper
	sites []firehose.Site
	mu    sync.Mutex
	due   map[db.Schema]time.Time
	looks int
}

func (a *announcers) mark(s db.Schema) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due[s] = a.now.now()
}

// pass lets time go by in small steps, and has each tenant looked at when it is due.
func (a *announcers) pass(d time.Duration) {
	a.t.Helper()
	const step = 15 * time.Second
	for ; d > 0; d -= step {
		a.now.ahead.Add(int64(step))
		for again := true; again; {
			again = false
			for i, s := range a.sites {
				a.mu.Lock()
				at, ok := a.due[s.Schema]
				delete(a.due, s.Schema)
				late := ok && !at.After(a.now.now())
				if ok && !late {
					a.due[s.Schema] = at
				}
				a.mu.Unlock()
				if !late {
					continue
				}
				a.looks++
				next, err := a.nodes[(i+a.looks)%len(a.nodes)].Announce(a.t.Context(), s)
				if err != nil {
					a.t.Fatal(err)
				}
				a.mu.Lock()
				if at, marked := a.due[s.Schema]; !next.IsZero() && (!marked || next.Before(at)) {
					a.due[s.Schema] = next
				}
				_, marked := a.due[s.Schema]
				again = again || marked && !a.due[s.Schema].After(a.now.now())
				a.mu.Unlock()
			}
		}
	}
}

// TestSilentRelay: a relay that answers nobody is asked once at each pace by each server, not once for each tenant, and
// when it answers all tenants follow. What it has against one tenant is this tenant's affair.
func TestSilentRelay(t *testing.T) {
	const tenants, servers = 40, 2
	d := dbtest.New(t)
	relay := newMoodyRelay(t)
	a := &announcers{t: t, now: new(clock), due: map[db.Schema]time.Time{}}
	for range servers {
		a.nodes = append(a.nodes, firehose.NewKeeper(d, a.now.now, slog.New(slog.DiscardHandler), firehose.KeeperConfig{
			Client: http.DefaultClient, Ready: func(context.Context, string) error { return nil }, Again: a.mark,
		}))
	}
	for i := range tenants {
		schema, host := dbtest.Tenant(t, d), fmt.Sprintf("pds%d.test", i)
		err := d.Control().InsertTenant(t.Context(), controldb.InsertTenantParams{
			TenantID: int64(i) + 1, Hostname: host, SchemaName: schema.String(), ServiceDID: "did:web:" + host, NodeID: 1, State: 1,
			Settings: []byte("{}"), Revision: int64(i) + 1, CreatedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		a.sites = append(a.sites, firehose.Site{Schema: schema, Hostname: host, Crawlers: []string{relay.URL + strings.Repeat("/", i%2)}})
		a.now.ahead.Add(int64(time.Millisecond))
	}
	news := func() {
		for _, s := range a.sites {
			appendEvents(t, d.Tenant(s.Schema), firehose.NewIdentity(1, did, s.Hostname, a.now.now()))
			a.mark(s.Schema)
		}
	}

	relay.set(func() { relay.down = true })
	news()
	a.pass(3 * time.Hour)
	// 2, 4, 8 and 16 minutes, and then every 20: twelve paces in three hours.
	if n := relay.crawled(); n < 6*servers || n > 14*servers {
		t.Errorf("it was asked %d times by %d servers in three hours", n, servers)
	}
	looks := a.looks
	a.pass(time.Hour)
	if looks = a.looks - looks; looks > 8*tenants {
		t.Errorf("%d looks at %d tenants in an hour", looks, tenants)
	}
	t.Logf("asked %d times, %d looks in the last hour", relay.crawled(), looks)
	// Those that wait cost no statement: nothing could be asked with this context.
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if next, err := a.nodes[0].Announce(over, a.sites[0]); err != nil || next.IsZero() {
		t.Errorf("%v %v", next, err)
	}

	relay.set(func() { relay.down = false })
	a.pass(21 * time.Minute)
	for _, s := range a.sites {
		if n := relay.told[s.Hostname]; n != 1 {
			t.Errorf("%s: told %d times after the relay came back", s.Hostname, n)
		}
	}

	bad, stuck := a.sites[3].Hostname, a.sites[4].Hostname
	relay.set(func() {
		relay.bans[bad], relay.stalls[stuck] = true, true
		clear(relay.told)
		clear(relay.asked)
	})
	a.pass(21 * time.Minute)
	news()
	a.pass(15 * time.Minute)
	for _, s := range a.sites {
		want := 1
		if s.Hostname == bad || s.Hostname == stuck {
			want = 0
			if n := relay.asked[s.Hostname]; n < 3 || n > 4 {
				t.Errorf("%s: asked for %d times in a quarter of an hour", s.Hostname, n)
			}
		}
		if n := relay.told[s.Hostname]; n != want {
			t.Errorf("%s: told %d times, want %d, beside tenants that the relay does not take", s.Hostname, n, want)
		}
	}
	relay.set(func() { clear(relay.bans); clear(relay.stalls) })
	a.pass(21 * time.Minute)
	if relay.told[bad] != 1 || relay.told[stuck] != 1 {
		t.Errorf("told %d and %d times when the relay takes them again", relay.told[bad], relay.told[stuck])
	}
}

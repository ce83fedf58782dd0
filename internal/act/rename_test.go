package act_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/job"
)

// moody is a PLC directory behind HTTP that now and then does not do what it is asked.
type moody struct {
	*httptest.Server
	mu   sync.Mutex
	asks int
	// mood answers a request itself, or not.
	mood func(w http.ResponseWriter, r *http.Request, n int) bool
	// own is the URL in the document of a DID that its owner keeps.
	own string
}

// RoundTrip answers for the owner of a did:web.
func (d *moody) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	fmt.Fprintf(w, `{"id": "did:web:%s", "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": %q}]}`, r.URL.Host, d.own)
	return w.Result(), nil
}

func newMoody(m *mortal) *moody {
	d := &moody{}
	real := plcdir.New(m.parts.DB, m.now, false).Handler("test", slog.New(slog.DiscardHandler))
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.asks++
		n, mood := d.asks, d.mood
		d.mu.Unlock()
		if mood == nil || !mood(w, r, n) {
			real.ServeHTTP(w, r)
		}
	}))
	m.t.Cleanup(d.Close)
	return d
}

func (d *moody) be(mood func(w http.ResponseWriter, r *http.Request, n int) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asks, d.mood = 0, mood
}

func refuse(w http.ResponseWriter, status int, after, message string) bool {
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	return true
}

// through has a process reach the directory over HTTP.
func (l *living) through(d *moody, m *mortal) *living {
	l.parts.Directory = identity.NewPLCClient(d.URL, d.Client())
	l.parts.Documents = identity.NewResolver(identity.ResolverConfig{Now: m.now, PLC: l.parts.Directory, HTTP: &http.Client{Transport: d}})
	m.t.Cleanup(l.parts.Documents.Close)
	l.Acts, l.jobs = act.New(l.parts), job.New(l.parts.DB, m.now, slog.New(slog.DiscardHandler))
	for _, k := range l.TenantJobs() {
		l.jobs.Register(k)
	}
	return l
}

// A rename comes to its end with a directory that refuses all for a moment, that refuses one account for good, that is
// away for a while, and that loses answers.
func TestRenameInTrouble(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	d := newMoody(m)
	l := m.process().through(d, m)
	names := [2]string{m.tenant.Hostname, "other.test"}
	for i, one := range []struct {
		name    string
		mood    func(w http.ResponseWriter, r *http.Request, n int) bool
		left    int64
		why     string
		waiting bool // the first attempt gives up for now
	}{
		{name: "asked too much, for a second", mood: func(w http.ResponseWriter, _ *http.Request, n int) bool {
			return n%3 == 1 && n < 9 && refuse(w, 429, "0", "")
		}},
		{name: "one account is refused", left: 1, why: "status 400: no", mood: func(w http.ResponseWriter, r *http.Request, _ int) bool {
			return r.Method == "POST" && strings.HasSuffix(r.URL.Path, m.dids[1]) && refuse(w, 400, "", "no")
		}},
		{name: "and goes on where it ended"},
		{name: "one account was changed too often", left: 1, why: "operations within last", mood: func(w http.ResponseWriter, r *http.Request, _ int) bool {
			return r.Method == "POST" && strings.HasSuffix(r.URL.Path, m.dids[0]) && refuse(w, 400, "", "To many operations within last hour")
		}},
		{name: "and an hour later"},
		{name: "answers get lost", mood: func(w http.ResponseWriter, r *http.Request, n int) bool {
			if r.Method != "POST" || n > 4 {
				return false
			}
			d.Config.Handler.ServeHTTP(httptest.NewRecorder(), r.Clone(t.Context())) // n is more the second time
			panic(http.ErrAbortHandler)
		}},
	} {
		if one.mood != nil || i == 0 {
			m.seconds.Add(7200)
		}
		d.be(one.mood)
		now := m.now2()
		to := names[0]
		if now.Hostname == to {
			to = names[1]
		}
		if strings.HasPrefix(one.name, "and ") {
			to = now.Hostname
			m.seconds.Add(7200)
		}
		spec, err := act.RenameTenant(now, act.Operator{}, to, false, 1000)
		if err != nil {
			t.Fatal(err)
		}
		j, err := l.jobs.Do(t.Context(), spec, nil)
		var got act.RenameResult
		if err != nil || j.Into(&got) != nil || got.LeftCount != one.left || got.Hostname != to || got.Accounts != 2 {
			t.Fatalf("%s: %+v, %+v: %v", one.name, j, got, err)
		}
		if one.left > 0 {
			if len(got.Left) != 1 || !strings.Contains(got.Left[0].Why, one.why) {
				t.Errorf("%s: %+v", one.name, got.Left)
			}
			continue
		}
		m.holds(one.name, now.State, "")
	}
}

// While the directory is away a rename waits, and goes on by itself; cancelled, it says how far it came, and both ways out
// of it work.
func TestRenameAway(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	d := newMoody(m)
	l := m.process().through(d, m)
	was := m.tenant.Hostname
	var id string
	d.be(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 1 { // somebody has enough of waiting
			if open, err := l.jobs.List(t.Context(), job.Filter{Open: true, Max: 1}); err == nil && len(open) == 1 {
				id = open[0].ID
				_, _ = l.jobs.Cancel(t.Context(), id)
			}
		}
		return refuse(w, 503, "3600", "away")
	})
	spec, err := act.RenameTenant(m.now2(), act.Operator{}, "other.test", false, 1000)
	if err != nil {
		t.Fatal(err)
	}
	j, err := l.jobs.Do(t.Context(), spec, nil)
	var got act.RenameResult
	if !errors.Is(err, job.ErrCancelled) || j.State != job.Cancelled || j.Into(&got) != nil || got.Was != was || got.Hostname != "other.test" {
		t.Fatalf("%+v, %+v: %v", j, got, err)
	}
	for _, says := range []string{"0 of 2 accounts are done", fmt.Sprintf("'locus tenant rename %s other.test' goes on", was), fmt.Sprintf("'locus tenant rename other.test %s' goes back", was)} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("it does not say %q: %v", says, err)
		}
	}
	d.be(nil)
	for _, to := range []string{"other.test", was} {
		if spec, err = act.RenameTenant(m.now2(), act.Operator{}, to, false, 1000); err != nil {
			t.Fatal(err)
		}
		if _, err := l.jobs.Do(t.Context(), spec, nil); err != nil {
			t.Fatal(err)
		}
		m.holds("renamed "+to, m.now2().State, "")
	}

	// Whose DID is a did:web changes its document alone, and is told what belongs there.
	conn, err := pgx.Connect(t.Context(), m.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "UPDATE "+m.tenant.Schema.String()+".actor SET did = 'did:web:somebody.example.com' WHERE did = $1", m.dids[0]); err != nil {
		t.Fatal(err)
	}
	for left := int64(1); left >= 0; left-- {
		if spec, err = act.RenameTenant(m.now2(), act.Operator{}, "other.test", false, 1000); err != nil {
			t.Fatal(err)
		}
		if j, err = l.jobs.Do(t.Context(), spec, nil); err != nil || j.Into(&got) != nil {
			t.Fatal(err)
		}
		now := m.now2()
		if got.LeftCount != left || left > 0 && (got.Left[0].DID != "did:web:somebody.example.com" || !strings.Contains(got.Left[0].Why, now.PublicURL)) {
			t.Errorf("%+v", got)
		}
		d.own = now.PublicURL // its owner does it
		m.seconds.Add(7200)
	}
}

// A rename that is cancelled in the middle of the accounts that it has in hand says how many are done: as many as the
// directory has changed. The next one goes on behind them.
func TestRenameCancelled(t *testing.T) {
	t.Parallel()
	const accounts, before = 14, 7
	m := newMortal(t)
	d := newMoody(m)
	l := m.process().through(d, m)
	for len(m.dids) < accounts {
		m.opens()
	}
	was := m.tenant.Hostname
	var mu sync.Mutex
	operations := 0
	d.be(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method != http.MethodPost {
			return false
		}
		mu.Lock()
		operations++
		n := operations
		mu.Unlock()
		if n != before {
			return n > before && refuse(w, 503, "", "later")
		}
		open, err := l.jobs.List(t.Context(), job.Filter{Open: true, Max: 1})
		if err != nil || len(open) != 1 {
			t.Errorf("%+v %v", open, err)
			return false
		}
		_, _ = l.jobs.Cancel(t.Context(), open[0].ID)
		return false
	})
	spec, err := act.RenameTenant(m.now2(), act.Operator{}, "other.test", false, 1000)
	if err != nil {
		t.Fatal(err)
	}
	j, err := l.jobs.Do(t.Context(), spec, nil)
	var got act.RenameResult
	if !errors.Is(err, job.ErrCancelled) || j.Into(&got) != nil || got.Was != was {
		t.Fatalf("%+v, %+v: %v", j, got, err)
	}
	changed := int64(0)
	for _, did := range m.dids {
		op, err := m.parts.Directory.Last(t.Context(), did)
		if err != nil {
			t.Fatal(err)
		}
		now, err := identity.RegularForm(op)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(now.Services[identity.ServicePDS].Endpoint, "other.test") {
			changed++
		}
	}
	if changed != before || got.Accounts != changed || got.Changed != changed || got.LeftCount != 0 || !strings.Contains(err.Error(), fmt.Sprintf("; %d of %d accounts are done", changed, accounts)) {
		t.Errorf("the directory has changed %d: %+v: %v", changed, got, err)
	}
	d.be(nil)
	if spec, err = act.RenameTenant(m.now2(), act.Operator{}, "other.test", false, 1000); err != nil {
		t.Fatal(err)
	}
	if j, err = l.jobs.Do(t.Context(), spec, nil); err != nil || j.Into(&got) != nil || got.Accounts != accounts || got.Changed != accounts-before {
		t.Fatalf("%+v, %+v: %v", j, got, err)
	}
	m.holds("renamed", m.now2().State, "")
}

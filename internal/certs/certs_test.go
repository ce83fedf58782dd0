package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libdns/libdns"
	"github.com/mholt/acmez/v3/acme"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// clock is a test's own.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

func newKeys(t *testing.T) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestStore: what certmagic asks of a storage; what lies in Postgres is sealed, and bound to its path.
func TestStore(t *testing.T) {
	d, keys, at := dbtest.New(t), newKeys(t), newClock()
	s, ctx := NewStore(d, keys, at.now), t.Context()
	for item, value := range map[string]string{"a/b/one.key": "private words", "a/b/two": "", "a/c": "x", "a0/d": "y", "a-/e": "z"} {
		if err := s.Store(ctx, item, []byte(value)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(ctx, item); err != nil || string(got) != value {
			t.Errorf("%s: %q, %v", item, got, err)
		}
	}
	for _, test := range []struct {
		folder    string
		recursive bool
		want      string
	}{{"a", false, "a/b a/c"}, {"a", true, "a/b/one.key a/b/two a/c"}, {"a/b/", false, "a/b/one.key a/b/two"}} {
		if got, err := s.List(ctx, test.folder, test.recursive); err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, %v", test.folder, got, err)
		}
	}
	if i, err := s.Stat(ctx, "a/b"); err != nil || i.IsTerminal {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := s.Stat(ctx, "a/b/one.key"); err != nil || !i.IsTerminal || i.Size != 13 || !i.Modified.Equal(at.now()) {
		t.Errorf("%+v, %v", i, err)
	}
	row, err := d.Control().GetTLSItem(ctx, "a/b/one.key")
	if err != nil || strings.Contains(string(row.Sealed), "private") {
		t.Errorf("%q, %v", row.Sealed, err)
	}
	if err := d.Control().UpsertTLSItem(ctx, controldb.UpsertTLSItemParams{Item: "a/c", Sealed: row.Sealed, Size: 1, Now: at.now()}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(ctx, "a/c"); err == nil {
		t.Errorf("a secret opens in another's place: %q", got)
	}
	if err := s.Delete(ctx, "a/b"); err != nil || s.Exists(ctx, "a/b") || s.Exists(ctx, "a/b/two") || !s.Exists(ctx, "a") || !s.Exists(ctx, "a0/d") {
		t.Error("deleting a folder:", err)
	}
	if _, err := s.Load(ctx, "a/b/two"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := s.List(ctx, "a/b", true); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := s.Delete(ctx, "nothing"); err != nil {
		t.Error(err)
	}
}

// TestLocks: one holder at a time, in all processes, and a silent one has lost its lock.
func TestLocks(t *testing.T) {
	d, keys, at := dbtest.New(t), newKeys(t), newClock()
	one, two, ctx := NewStore(d, keys, at.now), NewStore(d, keys, at.now), t.Context()
	try := func(s *Store, want bool) {
		t.Helper()
		if got, err := s.TryLock(ctx, "x"); err != nil || got != want {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	try(one, true)
	try(one, false)
	try(two, false)
	soon, cancel := context.WithCancel(ctx)
	cancel()
	if err := two.Lock(soon, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := one.Unlock(soon, "x"); err != nil { // its order may have run out of time
		t.Error(err)
	}
	try(two, true)
	// The process of two dies: nobody says that the lock is held.
	two.mu.Lock()
	two.held["x"]()
	two.mu.Unlock()
	try(one, false)
	at.pass(lockTime + time.Second)
	try(one, true)
	if err := two.Unlock(ctx, "x"); err != nil {
		t.Error(err)
	}
	try(two, false) // what two gave back was not its own any more
	if err := one.Unlock(ctx, "x"); err != nil {
		t.Error(err)
	}
	if err := one.Unlock(ctx, "x"); !errors.Is(err, errNotHeld) {
		t.Error(err)
	}
}

// house is a manager whose queue a test works through by hand.
type house struct {
	*Manager
	at *clock
	t  *testing.T
}

func newHouse(t *testing.T, l Limits) *house {
	at := newClock()
	d := dbtest.New(t)
	return &house{t: t, at: at, Manager: &Manager{db: d, store: NewStore(d, newKeys(t), at.now), cfg: Config{
		Authority: "https://ca.example.com/dir", Now: at.now, Log: slog.New(slog.DiscardHandler), Limits: l.orUsual(),
	}}}
}

func (h *house) want(subject string, tenantID int64) {
	h.t.Helper()
	if err := want(h.t.Context(), h.db.Control(), Wanted{subject, tenantID}, h.store.time()); err != nil {
		h.t.Fatal(err)
	}
}

// ordered writes an order down as one that was made.
func (h *house) ordered(subject string, tenantID int64, renewal, failed bool) {
	h.t.Helper()
	h.at.pass(time.Microsecond)
	q, at := h.db.Control(), h.store.time()
	err := q.InsertTLSOrder(h.t.Context(), controldb.InsertTLSOrderParams{OrderedAt: at, Subject: subject, TenantID: tenantID, Domain: registered(subject), Renewal: renewal})
	if err == nil && failed {
		err = q.UpdateTLSOrderFailed(h.t.Context(), controldb.UpdateTLSOrderFailedParams{OrderedAt: at, Subject: subject})
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestTurns: renewals go before new names, and a tenant that wants many does not keep another one waiting.
func TestTurns(t *testing.T) {
	h := newHouse(t, Limits{})
	for i := range 5 {
		h.want(fmt.Sprintf("a%d.greedy.com", i), 1)
		h.at.pass(time.Second)
	}
	h.want("modest.com", 2)
	h.want("old.greedy.com", 1)
	soon := h.at.now().Add(time.Hour)
	if err := h.db.Control().UpdateTLSNameIssued(t.Context(), controldb.UpdateTLSNameIssuedParams{
		NotBefore: new(h.at.now()), NotAfter: &soon, RenewAt: new(h.at.now()), DueAt: h.at.now(), Now: h.at.now(), Subject: "old.greedy.com",
	}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 7 {
		row, ok := h.claim(t.Context())
		if !ok {
			t.Fatal("nothing is due after", got)
		}
		got = append(got, row.Subject)
		h.ordered(row.Subject, row.TenantID, row.NotAfter != nil, false)
	}
	if want := "old.greedy.com modest.com a0.greedy.com a1.greedy.com"; strings.Join(got[:4], " ") != want {
		t.Errorf("turns: %v, want %s", got, want)
	}
	if row, ok := h.claim(t.Context()); ok {
		t.Error("claimed twice:", row.Subject)
	}
	h.at.pass(claimTime + time.Second)
	if _, ok := h.claim(t.Context()); !ok {
		t.Error("what a dead process worked on is not taken over")
	}
}

// TestBudget: what an authority allows is kept to, and renewals have room.
func TestBudget(t *testing.T) {
	h := newHouse(t, Limits{Orders: 8, PerDomain: 3, Failures: 2})
	ask := func(subject string, renewal bool) (time.Duration, string) {
		t.Helper()
		until, why, err := h.budget(t.Context(), controldb.TlsName{Subject: subject, Domain: registered(subject)}, renewal)
		if err != nil {
			t.Fatal(err)
		}
		if why == "" {
			return 0, ""
		}
		return until.Sub(h.at.now()), why
	}
	if d, why := ask("a.example.com", false); d != 0 {
		t.Error(d, why)
	}
	for i := range 3 {
		h.ordered(fmt.Sprintf("a%d.example.com", i), 1, false, false)
	}
	if d, why := ask("b.example.com", false); d < domainWindow-time.Minute || d > domainWindow || !strings.Contains(why, "wildcard") {
		t.Error(d, why)
	}
	if d, why := ask("b.example.com", true); d != 0 {
		t.Error("a renewal counts as new:", d, why)
	}
	if d, why := ask("b.example.co.uk", false); d != 0 {
		t.Error(d, why)
	}
	h.ordered("c.example.org", 1, false, true)
	h.ordered("c.example.org", 1, false, true)
	if d, why := ask("c.example.org", true); d < failWindow-time.Minute || d > failWindow || why == "" {
		t.Error(d, why)
	}
	h.ordered("d.example.net", 1, false, false)
	if d, why := ask("e.example.info", false); d < orderWindow-time.Minute || d > orderWindow || why == "" {
		t.Error("new names take the room of renewals:", d, why)
	}
	if d, why := ask("e.example.info", true); d != 0 {
		t.Error(d, why)
	}
	h.at.pass(orderWindow + time.Minute)
	if d, why := ask("e.example.info", false); d != 0 {
		t.Error(d, why)
	}
	h.at.pass(domainWindow)
	if d, why := ask("b.example.com", false); d != 0 {
		t.Error(d, why)
	}
}

// TestOutage tells an authority's trouble from a name's.
func TestOutage(t *testing.T) {
	h := newHouse(t, Limits{})
	for _, test := range []struct {
		err    error
		outage bool
		says   string
	}{
		{fmt.Errorf("[x] Obtain: %w", acme.Problem{Status: 429, Type: acme.ProblemTypeRateLimited, Detail: "too many certificates"}), true, "rateLimited: too many certificates"},
		{acme.Problem{Status: 500, Type: acme.ProblemTypeServerInternal, Detail: "oh"}, true, "serverInternal: oh"},
		{errors.New("[x] Obtain: registering account with server: provisioning client: HTTP 404: 404 page not found"), true, "404"},
		{errors.New("[x] Obtain: creating new order: HTTP 503: a page of a proxy"), true, "503"},
		{acme.Problem{Status: 403, Type: acme.ProblemTypeUnauthorized, Detail: "wrong answer"}, false, "unauthorized: wrong answer"},
		{fmt.Errorf("x: %w", &url.Error{Op: "Get", URL: "https://ca.example.com/dir", Err: errors.New("refused")}), true, "refused"},
		{fmt.Errorf("x: %w", &url.Error{Op: "Get", URL: "https://dns.example.com/", Err: errors.New("refused")}), false, "refused"},
	} {
		if wait, got := h.outage(test.err); got != test.outage || got && wait < time.Minute || !strings.Contains(h.reason(test.err), test.says) {
			t.Errorf("%v: outage %v, %v, %q", test.err, got, wait, h.reason(test.err))
		}
	}
	h.want("a.example.com", 1)
	row, _ := h.claim(t.Context())
	h.ordered(row.Subject, 1, false, false)
	if err := h.failed(t.Context(), row, h.store.time(), acme.Problem{Status: http.StatusTooManyRequests, Detail: "slow down"}, nil); err != nil {
		t.Fatal(err)
	}
	i, err := Get(t.Context(), h.db.Control(), "a.example.com")
	if err != nil || i.State != Waiting || i.Attempts != 0 || i.Error != "slow down" || !i.NextAt.After(h.at.now()) {
		t.Errorf("%+v, %v", i, err)
	}
	b, err := h.db.Control().GetTLSBudget(t.Context(), controldb.GetTLSBudgetParams{Domain: row.Domain, Subject: row.Subject})
	if err != nil || b.OfDomain != 0 || b.Orders != 0 || b.Failures != 0 {
		t.Errorf("an order that the authority did not take counts: %+v, %v", b, err)
	}
	h.want("b.example.com", 1)
	if _, ok := h.claim(t.Context()); ok {
		t.Error("an authority that refuses is asked again at once")
	}
	h.at.pass(time.Hour)
	row, ok := h.claim(t.Context())
	if !ok {
		t.Fatal("nothing is tried again")
	}
	h.ordered(row.Subject, 1, false, false)
	if err := h.failed(t.Context(), row, h.store.time(), acme.Problem{Status: 403, Detail: "wrong answer"}, nil); err != nil {
		t.Fatal(err)
	}
	if i, err := Get(t.Context(), h.db.Control(), row.Subject); err != nil || i.State != Failed || i.Attempts != 1 || i.Error != "wrong answer" {
		t.Errorf("%+v, %v", i, err)
	}
}

// TestNames: which names may have certificates, and what invented ones cost.
func TestNames(t *testing.T) {
	at, looks := newClock(), 0
	of := &tenant.Tenant{ID: 7, Hostname: "pds.example.com", HandleDomains: []string{"handles.example.com", "pds.example.com"}, State: tenant.Active}
	byHost := func(_ context.Context, host string) (tenant.Match, error) {
		looks++
		switch {
		case host == of.Hostname:
			return tenant.Match{Tenant: of, Kind: tenant.Canonical}, nil
		case host == "old.example.net":
			return tenant.Match{Tenant: of, Kind: tenant.FormerHost, Handle: host}, nil
		case strings.HasSuffix(host, ".handles.example.com"), strings.HasSuffix(host, ".pds.example.com"):
			return tenant.Match{Tenant: of, Kind: tenant.HandleHost, Handle: host}, nil
		case host == "down.example.com":
			return tenant.Match{}, errors.New("the database is away")
		}
		return tenant.Match{}, tenant.ErrUnknownHost
	}
	active := func(_ context.Context, _ db.Schema, handle string) (bool, error) {
		looks++
		return handle == "alice.pds.example.com", nil
	}
	all := func(context.Context) ([]*tenant.Tenant, error) { return []*tenant.Tenant{of}, nil }
	n := NewNames(byHost, active, all, []string{"handles.example.com"}, at.now)
	for name, want := range map[string]string{
		"pds.example.com": "pds.example.com", "old.example.net": "old.example.net", "alice.pds.example.com": "alice.pds.example.com",
		"anybody.handles.example.com": "*.handles.example.com", "a.b.handles.example.com": "", "bob.pds.example.com": "",
		"example.com": "", "": "", "localhost": "", "10.0.0.1": "", "a_b.pds.example.com": "", "*.pds.example.com": "",
	} {
		w, err := n.For(t.Context(), name)
		if w.Subject != want && want != "" || (err == nil) != (want != "") || want == "" && !errors.Is(err, ErrNoName) {
			t.Errorf("%s: %+v, %v, want %q", name, w, err, want)
		}
	}
	if _, err := n.For(t.Context(), "down.example.com"); err == nil || errors.Is(err, ErrNoName) {
		t.Error("a database that is away is no answer:", err)
	}
	looks = 0
	for range 100 {
		_, _ = n.For(t.Context(), "bob.pds.example.com")
	}
	if looks != 0 {
		t.Errorf("a name that was refused is looked up %d times", looks)
	}
	at.pass(time.Minute)
	looks = 0
	for i := range 100 {
		_, _ = n.For(t.Context(), fmt.Sprintf("bob%d.pds.example.com", i))
	}
	if looks > 100+looksOfOne {
		t.Errorf("invented handles have %d accounts looked for", looks-100)
	}
	for subject, want := range map[string]bool{"*.handles.example.com": true, "*.example.com": true, "*.example.net": false, "pds.example.com": true, "gone.example.com": false} {
		if _, err := n.Still(t.Context(), subject); (err == nil) != want {
			t.Errorf("%s: %v", subject, err)
		}
	}
	of.State = tenant.Deleting
	at.pass(time.Minute)
	if _, err := n.For(t.Context(), "alice.pds.example.com"); !errors.Is(err, ErrNoName) {
		t.Error("a handle of a deleted tenant:", err)
	}
}

// TestRemove forgets a certificate of all authorities, and no other.
func TestRemove(t *testing.T) {
	h := newHouse(t, Limits{})
	ctx := t.Context()
	h.want("a.example.com", 1)
	for _, item := range []string{"certificates/one/a.example.com/a.example.com.key", "certificates/two/a.example.com/a.example.com.crt", "certificates/one/b.example.com/b.example.com.key"} {
		if err := h.store.Store(ctx, item, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(ctx, h.db.Control(), "A.example.com.", h.store.time()); err != nil {
		t.Fatal(err)
	}
	left, err := h.store.List(ctx, "certificates", true)
	if err != nil || len(left) != 1 || !strings.Contains(left[0], "b.example.com") {
		t.Error(left, err)
	}
	if err := Remove(ctx, h.db.Control(), "a.example.com", h.store.time()); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestForget: the key of a name that nobody has any more does not stay for ever.
func TestForget(t *testing.T) {
	h := newHouse(t, Limits{})
	ctx, item := t.Context(), "certificates/one/a.example.com/a.example.com.key"
	h.want("a.example.com", 1)
	if err := h.store.Store(ctx, item, []byte("x")); err != nil {
		t.Fatal(err)
	}
	h.names = NewNames(func(context.Context, string) (tenant.Match, error) { return tenant.Match{}, tenant.ErrUnknownHost }, nil, nil, nil, h.at.now)
	row, _ := h.claim(ctx)
	if err := h.attend(ctx, row); err != nil {
		t.Fatal(err)
	}
	if i, err := Get(ctx, h.db.Control(), "a.example.com"); err != nil || i.State != GivenUp {
		t.Errorf("%+v, %v", i, err)
	}
	if err := h.forget(ctx, h.at.now().Add(-time.Hour)); err != nil || !h.store.Exists(ctx, item) {
		t.Error("forgotten at once:", err)
	}
	if err := h.forget(ctx, h.at.now().Add(time.Hour)); err != nil || h.store.Exists(ctx, item) {
		t.Error("the key stays:", err)
	}
	if _, err := Get(ctx, h.db.Control(), "a.example.com"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestProgram: a program of the operator's changes a zone, and what it says is told when it fails.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	file, out := filepath.Join(dir, "change"), filepath.Join(dir, "out")
	script := "#!/bin/sh\n[ \"$3\" = _acme-challenge.bad.example.com ] && { echo no such zone; exit 3; }\necho \"$@\" >> " + out + "\n"
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	record := func(name string) []libdns.Record {
		return []libdns.Record{libdns.TXT{Name: name, Text: "proof", TTL: time.Minute}}
	}
	if _, err := ownProgram(file).AppendRecords(t.Context(), "example.com.", record("_acme-challenge")); err != nil {
		t.Fatal(err)
	}
	if _, err := ownProgram(file).DeleteRecords(t.Context(), "example.com.", record("_acme-challenge")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if want := "add example.com _acme-challenge.example.com proof\nremove example.com _acme-challenge.example.com proof\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := ownProgram(file).AppendRecords(t.Context(), "example.com.", record("_acme-challenge.bad")); err == nil || !strings.Contains(err.Error(), "no such zone") {
		t.Error(err)
	}
}

// TestProgramSecrets: a program is not told what the server knows, and what it says of its own secrets is not passed on.
func TestProgramSecrets(t *testing.T) {
	t.Setenv("LOCUS_MASTER_KEY", "of-the-server")
	t.Setenv("LEXICON_NAMECHEAP_AUTH_TOKEN", "t0ken/with+signs")
	said, err := runProgram(t.Context(), time.Minute, "sh", "-c", `yes padding | head -c 100000; echo "$LOCUS_MASTER_KEY at https://api.example/?key=t0ken%2Fwith%2Bsigns&again=$LEXICON_NAMECHEAP_AUTH_TOKEN"; exit 4`)
	if want := " at https://api.example/?key=…&again=…"; err == nil || !strings.HasSuffix(said, want) || len(said) > programSays {
		t.Errorf("%q, %v", said, err)
	}
}

// TestConfig refuses what cannot be meant.
func TestConfig(t *testing.T) {
	for want, c := range map[string]Config{
		"--acme-email":       {},
		"one host":           {Email: "a@b", HTTP: "127.0.0.1:80", HTTPS: "127.0.0.2:443"},
		"needs --acme-dns,":  {Email: "a@b", HTTPS: ":443", DNS: DNS{Zones: []string{"example.com"}}},
		"--acme-dns is one":  {Email: "a@b", HTTPS: ":443", DNS: DNS{Provider: "route99"}},
		"--acme-dns-zones":   {Email: "a@b", HTTPS: ":443", DNS: DNS{Provider: DNSUpdate}},
		"is not a zone":      {Email: "a@b", HTTPS: ":443", DNS: DNS{Provider: DNSProgram, Zones: []string{"Com"}}},
		"--acme-dns-server":  {Email: "a@b", HTTPS: ":443", DNS: DNS{Provider: DNSUpdate, Zones: []string{"example.com"}}},
		"--acme-dns-program": {Email: "a@b", HTTPS: ":443", DNS: DNS{Provider: DNSProgram, Zones: []string{"example.com"}}},
		"lexicon --help":     {Email: "a@b", HTTPS: ":443", DNS: DNS{Provider: DNSLexicon, Zones: []string{"example.com"}, Lexicon: "--help"}},
		"come together":      {Email: "a@b", HTTPS: ":443", DNS: DNS{Provider: DNSUpdate, Zones: []string{"example.com"}, Server: "a:53", KeyName: "k"}},
		"needs --http":       {Email: "a@b", HTTPS: ":443", Challenges: []string{HTTP01}},
		"--acme-challenges":  {Email: "a@b", HTTPS: ":443", Challenges: []string{"dns"}},
	} {
		c.Now, c.Log = time.Now, slog.New(slog.DiscardHandler)
		m, err := New(nil, nil, nil, c)
		if m != nil {
			m.Close()
		}
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

func newKeys(t testing.TB) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newRegistry(d *db.DB, keys *keyring.Keyring) *tenant.Registry {
	return tenant.NewRegistry(d, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, time.Now, slog.New(slog.DiscardHandler))
}

func create(t testing.TB, r *tenant.Registry, spec tenant.Spec) *tenant.Tenant {
	t.Helper()
	made, err := r.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestCreateAndFind(t *testing.T) {
	d, keys := dbtest.New(t), newKeys(t)
	r := newRegistry(d, keys)
	a := create(t, r, tenant.Spec{Hostname: "LOCALHOST", HandleDomains: []string{".test"}, Settings: map[string]string{"signup": "open"}, AdminPassword: "a long password"})
	b := create(t, r, tenant.Spec{Hostname: "beta.localhost", HandleDomains: []string{"beta.test"}})
	c := create(t, r, tenant.Spec{Hostname: "pds.example.com"})

	if a.ServiceDID != "did:web:localhost%3A2583" || a.PublicURL != "http://localhost:2583" || a.State != tenant.Active || a.Settings.Signup != tenant.SignupOpen {
		t.Errorf("%+v", a)
	}
	if !b.Settings.InviteRequired() {
		t.Error("invites are not required by default")
	}
	if got := c.UserDomains(); len(got) != 1 || got[0] != ".pds.example.com" {
		t.Errorf("domains of a tenant for which none were named: %q", got)
	}
	if a.Schema == b.Schema || a.ID == b.ID {
		t.Fatal("two tenants share a schema")
	}

	for _, c := range []struct {
		host   string
		want   *tenant.Tenant
		kind   tenant.Kind
		handle string
	}{
		{"localhost:2583", a, tenant.Canonical, ""},
		{"LocalHost", a, tenant.Canonical, ""},
		{"alice.test:2583", a, tenant.HandleHost, "alice.test"},
		{"Alice.Test", a, tenant.HandleHost, "alice.test"},
		{"alice.beta.test", b, tenant.HandleHost, "alice.beta.test"}, // the longest domain counts
		{"beta.test", a, tenant.HandleHost, "beta.test"},
		{"beta.localhost", b, tenant.Canonical, ""},
		{"pds.example.com", c, tenant.Canonical, ""},
		{"x.pds.example.com", c, tenant.HandleHost, "x.pds.example.com"},
		{"example.com", nil, 0, ""},
		{"test", nil, 0, ""},
		{"127.0.0.1", nil, 0, ""},
		{"", nil, 0, ""},
	} {
		m, err := r.ByHost(t.Context(), c.host)
		if c.want == nil {
			if !errors.Is(err, tenant.ErrUnknownHost) {
				t.Errorf("%q: %v, %v", c.host, m, err)
			}
			continue
		}
		if err != nil || m.ID != c.want.ID || m.Kind != c.kind || m.Handle != c.handle {
			t.Errorf("%q: %+v, %v", c.host, m, err)
		}
	}
	for name, want := range map[string]bool{"beta.test": true, "beta.localhost": true, "test": true, "alice.test": false} {
		if got, err := r.NameTaken(t.Context(), name); err != nil || got != want {
			t.Errorf("NameTaken(%s) = %v, %v", name, got, err)
		}
	}
	for _, x := range []*tenant.Tenant{a, b} {
		if _, err := r.RotationSigner(t.Context(), x); err != nil {
			t.Error(err)
		}
	}
	// Sealed for one schema, dead in another.
	row, err := d.Tenant(a.Schema).Q().GetSecret(t.Context(), tenant.SecretJWT)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.MAC(b.Schema.String(), tenant.SecretJWT, row.Sealed); err == nil {
		t.Error("the secret of one tenant opens for another")
	}
}

func TestNamesBelongToOneTenant(t *testing.T) {
	r := newRegistry(dbtest.New(t), newKeys(t))
	create(t, r, tenant.Spec{Hostname: "one.example.com", HandleDomains: []string{"users.example.com"}})
	for _, spec := range []tenant.Spec{
		{Hostname: "one.example.com"},
		{Hostname: "users.example.com"},
		{Hostname: "two.example.com", HandleDomains: []string{"users.example.com"}},
		{Hostname: "two.example.com", HandleDomains: []string{"one.example.com"}},
	} {
		if _, err := r.Create(t.Context(), spec); !errors.Is(err, tenant.ErrHostnameTaken) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	// What was refused left nothing behind.
	two := create(t, r, tenant.Spec{Hostname: "two.example.com", HandleDomains: []string{"two.example.com", "more.example.com"}})
	if _, err := r.Set(t.Context(), "two.example.com", map[string]string{"handle_domains": "users.example.com"}); !errors.Is(err, tenant.ErrHostnameTaken) {
		t.Error(err)
	}
	if now, err := r.Get(t.Context(), "two.example.com"); err != nil || len(now.HandleDomains) != 2 || now.Revision != two.Revision {
		t.Errorf("%+v, %v", now, err)
	}
	now, err := r.Set(t.Context(), "two.example.com", map[string]string{"handle_domains": ".fresh.example.com", "signup": "open"})
	if err != nil || len(now.HandleDomains) != 1 || now.Settings.Signup != tenant.SignupOpen {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := r.ByHost(t.Context(), "x.more.example.com"); !errors.Is(err, tenant.ErrUnknownHost) {
		t.Error("a domain that was given up still leads to the tenant")
	}
	if _, err := r.Set(t.Context(), "nobody.example.com", nil); !errors.Is(err, tenant.ErrNotFound) {
		t.Error(err)
	}
}

// Ten processes create the same tenant: one succeeds or several agree, and there is one set of keys.
func TestCreateRace(t *testing.T) {
	d, keys := dbtest.New(t), newKeys(t)
	const n = 10
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, errs[i] = newRegistry(d, keys).Create(t.Context(), tenant.Spec{Hostname: "race.example.com"})
		})
	}
	wg.Wait()
	good := 0
	for _, err := range errs {
		switch {
		case err == nil:
			good++
		case !errors.Is(err, tenant.ErrHostnameTaken):
			t.Error(err)
		}
	}
	all, err := newRegistry(d, keys).List(t.Context())
	if err != nil || len(all) != 1 || all[0].State != tenant.Active || good == 0 {
		t.Fatalf("%d succeeded, %d tenants, %v", good, len(all), err)
	}
}

// Whatever the moment of a crash, the tenant is unseen, and the same call finishes it.
func TestCreateGoesOnAfterCrash(t *testing.T) {
	for _, at := range []string{"before the schema", "before the secrets", "before active"} {
		t.Run(at, func(t *testing.T) {
			url := dbtest.URL(t)
			d, keys := dbtest.Open(t, url), newKeys(t)
			raw := connect(t, url)
			r := newRegistry(d, keys)
			made := create(t, r, tenant.Spec{Hostname: "crash.example.com", Settings: map[string]string{"signup": "open"}})
			// Back to the moment.
			run(t, raw, "UPDATE control.tenant SET state = 0, version = 0")
			if at != "before active" {
				run(t, raw, "DELETE FROM "+made.Schema.String()+".tenant_item WHERE kind = 1")
			}
			if at == "before the schema" {
				run(t, raw, "DROP SCHEMA "+made.Schema.String()+" CASCADE")
			}
			fresh := newRegistry(d, keys)
			if _, err := fresh.ByHost(t.Context(), "crash.example.com"); !errors.Is(err, tenant.ErrUnknownHost) {
				t.Fatalf("an unfinished tenant answers: %v", err)
			}
			again := create(t, fresh, tenant.Spec{Hostname: "crash.example.com", HandleDomains: []string{"other.example.com"}, Settings: map[string]string{"signup": "closed"}})
			if again.ID != made.ID || again.Schema != made.Schema || again.Settings.Signup != tenant.SignupClosed || again.HandleDomains[0] != "other.example.com" {
				t.Errorf("%+v", again)
			}
			var version int64
			if err := raw.QueryRow(t.Context(), "SELECT version FROM control.tenant").Scan(&version); err != nil {
				t.Fatal(err)
			}
			if want, _ := db.LatestTenantVersion(); version != want {
				t.Errorf("version %d noted, want %d", version, want)
			}
			if _, err := fresh.RotationSigner(t.Context(), again); err != nil {
				t.Error(err)
			}
		})
	}
}

// A control schema restored from a backup counts tenant ids from where it was. The schema it would take is in use.
func TestCreateRefusesSchemaInUse(t *testing.T) {
	url := dbtest.URL(t)
	d, keys := dbtest.Open(t, url), newKeys(t)
	r := newRegistry(d, keys)
	made := create(t, r, tenant.Spec{Hostname: "old.example.com"})
	if _, err := d.Tenant(made.Schema).Q().LockNextAID(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw := connect(t, url)
	run(t, raw, "DELETE FROM control.tenant")
	run(t, raw, "UPDATE control.counter SET value = 0 WHERE name = 'tenant_id'")
	if _, err := r.Create(t.Context(), tenant.Spec{Hostname: "new.example.com"}); err == nil {
		t.Error("a tenant was made over another's data")
	}
}

func TestSettingsAreLive(t *testing.T) {
	d, keys := dbtest.New(t), newKeys(t)
	here, there := newRegistry(d, keys), newRegistry(d, keys)
	create(t, here, tenant.Spec{Hostname: "live.example.com"})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- there.Run(ctx) }()
	if _, err := there.ByHost(t.Context(), "live.example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Set(t.Context(), "live.example.com", map[string]string{"signup": "open"}); err != nil {
		t.Fatal(err)
	}
	// The way that tells no relay is closed.
	if _, err := here.Set(t.Context(), "live.example.com", map[string]string{"state": "suspended"}); !errors.Is(err, tenant.ErrBadSetting) || !strings.Contains(err.Error(), "locus tenant suspend") {
		t.Errorf("state was set: %v", err)
	}
	live, err := here.Get(t.Context(), "live.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.Suspend(t.Context(), live, ""); err != nil {
		t.Fatal(err)
	}
	m, err := here.ByHost(t.Context(), "live.example.com")
	if !errors.Is(err, tenant.ErrTenantSuspended) || m.Tenant == nil {
		t.Errorf("not at once where it was set: %v", err)
	}
	began := time.Now()
	for {
		m, err := there.ByHost(t.Context(), "live.example.com")
		if errors.Is(err, tenant.ErrTenantSuspended) && m.Settings.Signup == tenant.SignupOpen {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatal("not live elsewhere")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("live elsewhere after %v", time.Since(began).Round(time.Millisecond))
	if _, err := here.Resume(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// A tenant that another process has just made answers here without waiting for the poll.
	time.Sleep(300 * time.Millisecond)
	create(t, here, tenant.Spec{Hostname: "new.example.com"})
	if _, err := there.ByHost(t.Context(), "new.example.com"); err != nil {
		t.Error(err)
	}
}

// Invented hosts cost neither memory nor a query each.
func TestUnknownHostsAreBounded(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	r := newRegistry(d, newKeys(t))
	create(t, r, tenant.Spec{Hostname: "known.example.com"})
	raw := connect(t, url)
	calls := func() (n int64) {
		time.Sleep(1100 * time.Millisecond) // statistics are told once a second
		if err := raw.QueryRow(t.Context(), "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE schemaname = 'control' AND relname = 'tenant'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// A connection tells its statistics with the first statement a second after the last: those of create, which are
	// not what is counted here, are told by this one.
	time.Sleep(1100 * time.Millisecond)
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := calls()
	var m1, m2 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m1)
	began := time.Now()
	const hosts = 200_000
	for i := range hosts {
		if _, err := r.ByHost(t.Context(), fmt.Sprintf("h%d.unknown%d.example.org", i, i)); !errors.Is(err, tenant.ErrUnknownHost) {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&m2)
	looks := calls() - before
	t.Logf("%d hosts in %v: %d looks at the table", hosts, took.Round(time.Millisecond), looks)
	// One look of at most two queries each 250 ms, and what the statistics blur.
	if most := 4 * (took.Milliseconds()/250 + 2); looks > most {
		t.Errorf("%d looks at the table, want at most %d", looks, most)
	}
	if grown := int64(m2.HeapAlloc) - int64(m1.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func BenchmarkByHost(b *testing.B) {
	r := newRegistry(dbtest.New(b), newKeys(b))
	create(b, r, tenant.Spec{Hostname: "pds.example.com"})
	for _, host := range []string{"pds.example.com", "alice.pds.example.com:443"} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.ByHost(b.Context(), host); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func run(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

const workers = 4

// port is the one in the tenants' DIDs, whatever the server listens on.
var port = 2583

// deployment is the database and what works on it in this process.
type deployment struct {
	server  *embedded.Server
	db      *db.DB
	keys    *keyring.Keyring
	tenants *tenant.Registry
}

func open(ctx context.Context, dir string, sizes db.Sizes, settings ...embedded.Option) (*deployment, error) {
	quiet := slog.New(slog.DiscardHandler)
	settings = append(settings, embedded.Setting("max_connections", "200"), embedded.Setting("max_locks_per_transaction", "256"))
	server, err := embedded.Start(ctx, dir, quiet, settings...)
	if err != nil {
		return nil, err
	}
	d := &deployment{server: server}
	master, err := keyring.LoadOrCreateMaster(filepath.Join(dir, "master.key"))
	if err == nil {
		d.keys, err = keyring.New(master, 64<<20)
	}
	if err == nil {
		d.db, err = db.Open(ctx, db.Config{URL: server.URL, Sizes: sizes})
	}
	if err == nil {
		err = d.db.MigrateControl(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	d.tenants = tenant.NewRegistry(d.db, d.keys, tenant.Config{Scheme: "http", Port: port, Names: true}, time.Now, quiet)
	return d, nil
}

func (d *deployment) close() error {
	if d.db != nil {
		d.db.Close()
	}
	return d.server.Stop()
}

func hostname(i int) string { return fmt.Sprintf("t%05d.localhost", i) }

func fill(ctx context.Context, dir string, tenants, accounts int) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Each of a schema's files would be flushed for itself. What a machine loses that goes down meanwhile is filled again.
	// And each schema has all connections look at all of their plans, which nobody needs again.
	d, err := open(ctx, dir, db.Sizes{Statements: 200}, embedded.Setting("fsync", "off"), embedded.Setting("full_page_writes", "off"), embedded.Setting("max_wal_size", "8GB"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	there, err := d.tenants.List(ctx)
	if err != nil {
		return err
	}
	made := map[string]*tenant.Tenant{}
	for _, t := range there {
		made[t.Hostname] = t
	}
	var next atomic.Int64
	var failed sync.Map
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= tenants && ctx.Err() == nil; i = int(next.Add(1)) {
				one, err := d.fillOne(ctx, i, made[hostname(i)], accounts)
				if err != nil {
					failed.Store(i, err)
					return
				}
				if one == 0 {
					continue
				}
				mu.Lock()
				if took = append(took, one); len(took)%500 == 0 {
					fmt.Printf("%6.0f s  %d tenants, the last 500 took %s each to create (median)\n", time.Since(began).Seconds(), i, median(took[len(took)-500:]))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	failed.Range(func(i, e any) bool { err = errors.Join(err, fmt.Errorf("tenant %v: %w", i, e.(error))); return true })
	return errors.Join(err, ctx.Err())
}

// fillOne makes a tenant, unless it is there, and the accounts that it does not have: who was interrupted made some of them.
func (d *deployment) fillOne(ctx context.Context, i int, t *tenant.Tenant, accounts int) (took time.Duration, err error) {
	has := 0
	if t != nil && t.State == tenant.Active {
		c, err := d.db.Tenant(t.Schema).Q().GetTenantCounters(ctx)
		if err != nil {
			return 0, err
		}
		has = int(c.Accounts)
	} else {
		began := time.Now()
		t, err = d.tenants.Create(ctx, tenant.Spec{Hostname: hostname(i), HandleDomains: []string{fmt.Sprintf("t%05d.test", i)}, Settings: map[string]string{"signup": "open", "rate_limits": "off"}})
		if err != nil {
			return 0, err
		}
		took = time.Since(began)
	}
	for n := has; n < accounts; n++ {
		if err := d.join(ctx, t, n); err != nil {
			return 0, fmt.Errorf("account %d: %w", n, err)
		}
	}
	return took, nil
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(list))[len(list)/2].Round(10 * time.Microsecond)
}

// join makes an account as a sign-up does, but for the password's hash, which is the same for all, and the directory.
func (d *deployment) join(ctx context.Context, t *tenant.Tenant, n int) error {
	now := time.Now()
	s, err := account.NewSignup(t, account.Request{Handle: fmt.Sprintf("user%d.%s", n, t.HandleDomains[0]), Email: fmt.Sprintf("user%d@example.com", n)}, now)
	if err != nil {
		return err
	}
	rotation, err := d.tenants.RotationSigner(ctx, t)
	if err != nil {
		return err
	}
	if err := s.Mint(d.keys, rotation); err != nil {
		return err
	}
	at := d.db.Tenant(t.Schema)
	if s.AID, err = at.Q().LockNextAID(ctx); err != nil {
		return err
	}
	return at.Tx(ctx, func(q *tenantdb.Queries) error {
		if err := s.Begin(ctx, q, d.keys); err != nil {
			return err
		}
		if _, err := repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, now); err != nil {
			return err
		}
		return s.Finish(ctx, q)
	})
}

// writer is an account with a token, at its tenant.
type writer struct {
	host, did, token string
}

// writers gives the first account of the first n tenants.
func (d *deployment) writers(ctx context.Context, n int) ([]writer, error) {
	sessions := d.sessions()
	var out []writer
	for i := 1; i <= n; i++ {
		t, err := d.tenants.Get(ctx, hostname(i))
		if err != nil {
			return nil, err
		}
		w, err := d.writer(ctx, sessions, t, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// accounts gives all accounts of one tenant, at most ten.
func (d *deployment) accounts(ctx context.Context, i int) ([]writer, error) {
	t, err := d.tenants.Get(ctx, hostname(i))
	if err != nil {
		return nil, err
	}
	sessions := d.sessions()
	var out []writer
	for n := range 10 {
		w, err := d.writer(ctx, sessions, t, n)
		if err != nil && n > 0 && errors.Is(err, account.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

func (d *deployment) sessions() *auth.Sessions {
	return auth.NewSessions(d.db, d.keys, account.NewCache(d.db, 0, time.Now), time.Now)
}

// writer is account n of a tenant, signed in.
func (d *deployment) writer(ctx context.Context, sessions *auth.Sessions, t *tenant.Tenant, n int) (writer, error) {
	who, err := account.ByHandle(ctx, d.db.Tenant(t.Schema).Q(), fmt.Sprintf("user%d.%s", n, t.HandleDomains[0]))
	if err != nil {
		return writer{}, err
	}
	secrets, err := sessions.Secrets(ctx, t)
	if err != nil {
		return writer{}, err
	}
	pair, err := sessions.Mint(t, secrets, auth.ScopeAccess, who.DID, who.Epochs, sessions.NewRefresh())
	if err != nil {
		return writer{}, err
	}
	return writer{host: t.Hostname, did: who.DID, token: pair.Access}, nil
}

package account_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cheap is a cost at which tests need not wait.
var cheap = account.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}

type house struct {
	url       string // of the database
	db        *db.DB
	raw       *pgx.Conn
	clock     *clock
	keys      *keyring.Keyring
	tenants   *tenant.Registry
	hub       *firehose.Hub
	directory identity.Directory
	documents *identity.Resolver
	tenant    *tenant.Tenant
	tdb       *db.Tenant
	emails    atomic.Int64
}

func newHouse(t testing.TB, settings map[string]string) *house {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	url := dbtest.URL(t)
	h := &house{url: url, db: dbtest.Open(t, url), hub: firehose.NewHub(), keys: keys, clock: &clock{now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)}}
	if h.raw, err = pgx.Connect(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.raw.Close(context.WithoutCancel(t.Context())) })
	h.directory = plcdir.New(h.db, h.clock.Now, false)
	h.documents = identity.NewResolver(identity.ResolverConfig{Now: h.clock.Now, PLC: h.directory})
	t.Cleanup(h.documents.Close)
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, h.clock.Now, slog.New(slog.DiscardHandler))
	if h.tenant, err = h.tenants.Create(t.Context(), tenant.Spec{Hostname: "localhost", HandleDomains: []string{"test"}, Settings: settings}); err != nil {
		t.Fatal(err)
	}
	h.tdb = h.db.Tenant(h.tenant.Schema)
	return h
}

// The steps of a sign-up at which something can go wrong.
const (
	stepBegin  = "begin"
	stepSubmit = "submit"
	stepFinish = "finish"
)

// fault makes one step go wrong: it fails, or it happens and the answer is lost, or the process dies at that moment.
type fault struct {
	step     string
	happened bool
	crash    bool
}

var (
	errFault = errors.New("fault")
	errCrash = errors.New("crash")
)

func (f fault) around(step string, do func() error) error {
	if f.step != step {
		return do()
	}
	if f.happened {
		if err := do(); err != nil {
			return err
		}
	}
	if f.crash {
		return errCrash
	}
	return errFault
}

func (h *house) request(label string) account.Request {
	return account.Request{Handle: label + ".test", Email: fmt.Sprintf("%s%d@example.com", label, h.emails.Add(1))}
}

// signUp does what the method does, with one step going wrong.
func (h *house) signUp(ctx context.Context, req account.Request, f fault) (*account.Signup, error) {
	now := h.clock.Now()
	s, err := account.NewSignup(h.tenant, req, now)
	if err != nil {
		return nil, err
	}
	if err := s.CheckFree(ctx, h.tdb.Q()); err != nil {
		return nil, err
	}
	rotation, err := h.tenants.RotationSigner(ctx, h.tenant)
	if err != nil {
		return nil, err
	}
	if err := s.Mint(h.keys, rotation); err != nil {
		return nil, err
	}
	if s.AID, err = h.tdb.Q().LockNextAID(ctx); err != nil {
		return nil, err
	}
	var commit *repo.Commit
	submitted := false
	err = f.around(stepBegin, func() error {
		return h.tdb.Tx(ctx, func(q *tenantdb.Queries) (err error) {
			if err := s.Begin(ctx, q, h.keys); err != nil {
				return err
			}
			commit, err = repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, now)
			return err
		})
	})
	if err == nil {
		submitted = true
		err = f.around(stepSubmit, func() error { return h.directory.Submit(ctx, s.DID, s.Genesis) })
	}
	if err == nil {
		err = f.around(stepFinish, func() error {
			_, err := h.hub.Publish(ctx, h.tdb, func(q *tenantdb.Queries) ([]firehose.Event, error) {
				return s.Events(commit, now), s.Finish(ctx, q)
			})
			return err
		})
	}
	if err == nil || errors.Is(err, errCrash) {
		return s, err
	}
	finished := false
	undo := h.tdb.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		finished, err = s.Undo(ctx, q)
		return err
	})
	if undo != nil {
		return nil, errors.Join(err, undo)
	}
	if finished {
		return s, nil
	}
	if submitted {
		op, tombErr := s.Tombstone(rotation)
		if tombErr == nil {
			tombErr = h.directory.Submit(ctx, s.DID, op)
		}
		if tombErr != nil && !errors.Is(tombErr, identity.ErrOperation) && !errors.Is(tombErr, identity.ErrOperationConflict) && !errors.Is(tombErr, identity.ErrDIDNotFound) {
			return s, errors.Join(err, tombErr)
		}
	}
	return s, err
}

// check asserts what is true at every moment in which no sign-up is under way: accounts are whole, nothing is left of
// others, invite codes add up, and DIDs that lead here have accounts.
func (h *house) check(t *testing.T, accounts int) {
	t.Helper()
	schema := h.tenant.Schema.String()
	for what, want := range map[string]int{
		"SELECT count(*) FROM S.actor":                              accounts,
		"SELECT count(*) FROM S.actor WHERE creating_since IS NULL": accounts,
		"SELECT count(*) FROM S.actor WHERE head_commit IS NULL":    0,
		"SELECT count(*) FROM S.account":                            accounts,
		"SELECT count(key_sealed) FROM S.account":                   accounts,
		"SELECT count(*) FROM S.mst_node":                           accounts,
		"SELECT count(*) FROM S.repo_event":                         4 * accounts,
		"SELECT count(*) FROM S.tenant_item i WHERE kind = 3 AND number - tries <> (SELECT count(*) FROM S.tenant_item u WHERE u.kind = 4 AND u.label = convert_from(i.key, 'UTF8'))":  0,
		"SELECT count(*) FROM S.account a WHERE invite_code IS NOT NULL AND NOT EXISTS (SELECT 1 FROM S.tenant_item u WHERE u.kind = 4 AND u.aid = a.aid AND u.label = a.invite_code)": 0,
		"SELECT count(*) FROM S.tenant_item u WHERE kind = 4 AND NOT EXISTS (SELECT 1 FROM S.actor a WHERE a.aid = u.aid)":                                                             0,
	} {
		sql := strings.ReplaceAll(what, "S.", schema+".")
		var got int
		if err := h.raw.QueryRow(t.Context(), sql).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s = %d, want %d", what, got, want)
		}
	}
	rows, err := h.raw.Query(t.Context(), "SELECT DISTINCT did FROM control.plc_operation")
	if err != nil {
		t.Fatal(err)
	}
	dids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, did := range dids {
		last, err := h.directory.Last(t.Context(), did)
		if err != nil {
			t.Fatal(err)
		}
		_, dead := last.(*didplc.TombstoneOp)
		_, err = account.ByDID(t.Context(), h.tdb.Q(), did)
		if errors.Is(err, account.ErrNotFound) != dead {
			t.Errorf("%s: tombstone %v, account %v", did, dead, err)
		}
	}
}

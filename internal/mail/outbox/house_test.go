package outbox_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
)

// clock is the real time moved forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time      { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) add(d time.Duration) { c.ahead.Add(int64(d)) }

type house struct {
	t       testing.TB
	url     string
	db      *db.DB
	keys    *keyring.Keyring
	clock   *clock
	tenants *tenant.Registry
	a, b    *tenant.Tenant
	smtp    *mailtest.Server
	log     slogText
}

// slogText keeps a log.
type slogText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *slogText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *slogText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newHouse(t testing.TB) *house {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return furnish(t, dbtest.URL(t), keys)
}

func furnish(t testing.TB, url string, keys *keyring.Keyring) *house {
	t.Helper()
	h := &house{t: t, url: url, db: dbtest.Open(t, url), keys: keys, clock: new(clock), smtp: mailtest.Start(t)}
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{}, h.clock.Now, slog.New(slog.DiscardHandler))
	for _, one := range []struct {
		host string
		t    **tenant.Tenant
	}{{"a.example.com", &h.a}, {"b.example.com", &h.b}} {
		var err error
		if *one.t, err = h.tenants.Create(t.Context(), tenant.Spec{Hostname: one.host, Settings: map[string]string{"display_name": strings.ToUpper(one.host[:1])}}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *house) outbox() *outbox.Outbox {
	h.t.Helper()
	server, err := mail.ParseServer(h.smtp.URL())
	if err != nil {
		h.t.Fatal(err)
	}
	return h.with(outbox.Config{Server: server})
}

func (h *house) with(cfg outbox.Config) *outbox.Outbox {
	return outbox.New(h.db, h.keys, h.tenants, cfg, h.clock.Now, slog.New(slog.NewTextHandler(&h.log, nil)))
}

func (h *house) put(o *outbox.Outbox, t *tenant.Tenant, to string) {
	h.t.Helper()
	err := h.db.Tenant(t.Schema).Tx(h.t.Context(), func(q *tenantdb.Queries) error {
		return o.Put(h.t.Context(), q, t, 7, to, mail.Note{Kind: mail.KindConfirmEmail, Handle: "alice.example.com", Code: "ABCDE-23456"}, 15*time.Minute)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) deliver(o *outbox.Outbox, t *tenant.Tenant) (next time.Time) {
	h.t.Helper()
	next, err := o.Deliver(h.t.Context(), t)
	if err != nil {
		h.t.Fatal(err)
	}
	return next
}

// states counts a tenant's messages by state.
func (h *house) states(t *tenant.Tenant) string {
	h.t.Helper()
	conn, err := pgx.Connect(context.WithoutCancel(h.t.Context()), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(h.t.Context()))
	rows, err := conn.Query(h.t.Context(), "SELECT CASE flags WHEN 0 THEN 'waiting' WHEN 1 THEN 'claimed' WHEN 2 THEN 'handing' WHEN 3 THEN 'sent' ELSE 'given up' END || ' ' || count(*) FROM "+t.Schema.String()+".tenant_item WHERE kind IN (5, 6) GROUP BY flags ORDER BY flags")
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

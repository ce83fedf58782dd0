package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	rows, err := conn.Query(h.t.Context(), "SELECT CASE state WHEN 0 THEN 'waiting' WHEN 1 THEN 'claimed' WHEN 2 THEN 'handing' WHEN 3 THEN 'sent' ELSE 'given up' END || ' ' || count(*) FROM "+t.Schema.String()+".mail GROUP BY state ORDER BY state")
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	for i := range 25 { // more than one claim
		h.put(o, h.a, fmt.Sprintf("u%d@example.com", i))
	}
	h.put(o, h.b, "b@example.com")
	if next := h.deliver(o, h.a); !next.IsZero() {
		t.Errorf("again at %s", next)
	}
	got := h.smtp.Got()
	ids := map[string]bool{}
	for _, m := range got {
		ids[m.MessageID] = true
		if !strings.HasSuffix(m.MessageID, "@a.example.com") || m.From != "noreply@a.example.com" || !strings.Contains(m.Body, "ABCDE-23456") {
			t.Errorf("%+v", m)
		}
	}
	if len(got) != 25 || len(ids) != 25 || h.states(h.a) != "sent 25" || h.states(h.b) != "waiting 1" {
		t.Errorf("%d messages, %d ids, %s, %s", len(got), len(ids), h.states(h.a), h.states(h.b))
	}
	if n := h.smtp.Sessions(); n > 3 {
		t.Errorf("%d sessions", n)
	}
	h.deliver(o, h.a)
	if len(h.smtp.Got()) != 25 {
		t.Error("sent twice")
	}
	// Nothing of the token stays, in the row or the log.
	if strings.Contains(h.log.String(), "ABCDE") {
		t.Error(h.log.String())
	}
}

// A message is there when its reason was committed, and only then.
func TestPutIsOfTheTransaction(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	stop := errors.New("stop")
	err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		if err := o.Put(t.Context(), q, h.a, 1, "x@example.com", mail.Note{Kind: mail.KindSignIn}, time.Minute); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) || h.states(h.a) != "" {
		t.Errorf("%v %s", err, h.states(h.a))
	}
}

// What passes is tried again, later and later; what does not pass is given up; what comes too late too.
func TestRetries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	h.smtp.Stop()
	h.put(o, h.a, "x@example.com")
	h.put(o, h.a, "y@example.com")
	next := h.deliver(o, h.a)
	if wait := next.Sub(h.clock.Now()); wait < 4*time.Second || wait > 8*time.Second || h.states(h.a) != "waiting 2" {
		t.Errorf("tries again in %s: %s", wait, h.states(h.a))
	}
	h.deliver(o, h.a) // not yet
	h.clock.add(10 * time.Second)
	next = h.deliver(o, h.a)
	if wait := next.Sub(h.clock.Now()); wait < 9*time.Second || wait > 14*time.Second {
		t.Errorf("then in %s", wait)
	}
	h.smtp.Restart()
	h.smtp.Hook(func(s mailtest.Step, what string) mailtest.Verdict {
		switch {
		case s == mailtest.Rcpt && what == "x@example.com":
			return mailtest.Verdict{Reply: "550 no such user"}
		case s == mailtest.Rcpt:
			return mailtest.Verdict{Reply: "451 greylisted"}
		}
		return mailtest.Verdict{}
	})
	h.clock.add(20 * time.Second)
	h.deliver(o, h.a)
	if h.states(h.a) != "waiting 1, given up 1" {
		t.Error(h.states(h.a))
	}
	h.smtp.Hook(nil)
	h.clock.add(time.Minute)
	h.deliver(o, h.a)
	if h.states(h.a) != "sent 1, given up 1" || len(h.smtp.Got()) != 1 {
		t.Error(h.states(h.a), h.smtp.Got())
	}
	h.put(o, h.a, "late@example.com")
	h.clock.add(15 * time.Minute)
	h.deliver(o, h.a)
	if h.states(h.a) != "sent 1, given up 2" || len(h.smtp.Got()) != 1 {
		t.Error(h.states(h.a))
	}
}

// A tenant's own server, its sender and the log instead of a server.
func TestServers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := mailtest.Start(t)
	o := h.outbox()
	if err := h.tenants.SetSMTP(t.Context(), "a.example.com", own.URL()); err != nil {
		t.Fatal(err)
	}
	fresh, err := h.tenants.Set(t.Context(), "a.example.com", map[string]string{"mail_from": "hello@a.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	h.put(o, fresh, "x@example.com")
	h.put(o, h.b, "y@example.com")
	h.deliver(o, fresh)
	h.deliver(o, h.b)
	if a, b := own.Got(), h.smtp.Got(); len(a) != 1 || a[0].To != "x@example.com" || a[0].From != "hello@a.example.com" || len(b) != 1 || b[0].To != "y@example.com" {
		t.Errorf("%v %v", a, b)
	}
	if err := h.tenants.SetSMTP(t.Context(), "a.example.com", ""); err != nil {
		t.Fatal(err)
	}
	if fresh, err = h.tenants.Get(t.Context(), "a.example.com"); err != nil {
		t.Fatal(err)
	}
	h.put(o, fresh, "z@example.com")
	h.deliver(o, fresh)
	if len(h.smtp.Got()) != 2 {
		t.Error("the deployment's server does not serve again")
	}
	// Development: the log.
	dev := h.with(outbox.Config{ShowText: true})
	h.put(dev, fresh, "dev@example.com")
	h.deliver(dev, fresh)
	if !strings.Contains(h.log.String(), "ABCDE-23456") || h.states(fresh) != "sent 3" {
		t.Errorf("%s %s", h.states(fresh), h.log.String())
	}
	// No server at all: it waits.
	none := h.with(outbox.Config{})
	h.put(none, fresh, "none@example.com")
	h.deliver(none, fresh)
	if h.states(fresh) != "waiting 1, sent 3" || !strings.Contains(h.log.String(), "no mail server is set") {
		t.Error(h.states(fresh))
	}
}

// Who announces mail waits for it, a little.
func TestAwait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	post := func() (id string) {
		err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
			id, err = o.Post(t.Context(), q, h.a, 1, "x@example.com", mail.Note{Kind: mail.KindSignIn}, time.Minute)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	began := time.Now()
	o.Await(t.Context(), h.a, post(), time.Minute) // nothing runs here
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	for len(h.smtp.Got()) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	o.Await(t.Context(), h.a, post(), time.Minute)
	if n := len(h.smtp.Got()); n != 2 || time.Since(began) > 20*time.Second {
		t.Errorf("%d messages after %s", n, time.Since(began))
	}
	h.smtp.Stop()
	o.Await(t.Context(), h.a, post(), time.Minute) // an attempt that fails is one too
	slow := make(chan struct{})
	h.smtp.Restart()
	h.smtp.Hook(func(mailtest.Step, string) mailtest.Verdict { <-slow; return mailtest.Verdict{} })
	mid := time.Now()
	o.Await(t.Context(), h.a, post(), 50*time.Millisecond)
	if d := time.Since(mid); d > 5*time.Second {
		t.Errorf("waited %s for a slow server", d)
	}
	close(slow)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Many processes empty one queue: every message once, while the server comes and goes. A message whose good answer got
// lost may come twice, under one Message-ID: that one window is there with every mail program.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const messages = 120
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	boxes := make([]*outbox.Outbox, 4)
	for i := range boxes {
		boxes[i] = h.outbox()
		wg.Go(func() {
			if err := boxes[i].Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	var lost sync.Map // Message-IDs whose answer the server did not give
	var n atomic.Int64
	h.smtp.Hook(func(s mailtest.Step, what string) mailtest.Verdict {
		k := n.Add(1)
		switch {
		case s == mailtest.Rcpt && k%11 == 0:
			return mailtest.Verdict{Reply: "451 busy"}
		case s == mailtest.Data && k%13 == 0:
			return mailtest.Verdict{Drop: true}
		case s == mailtest.Accepted && k%17 == 0:
			lost.Store(what, true)
			return mailtest.Verdict{Drop: true}
		}
		return mailtest.Verdict{}
	})
	for i := range messages {
		tn := []*tenant.Tenant{h.a, h.b}[i%2]
		h.put(boxes[i%4], tn, fmt.Sprintf("u%d@example.com", i))
		boxes[i%4].Wake(tn)
		if i == 60 {
			h.smtp.Stop()
			time.Sleep(50 * time.Millisecond)
			h.smtp.Restart()
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for h.states(h.a) != "sent 60" || h.states(h.b) != "sent 60" {
		if time.Now().After(deadline) {
			t.Fatalf("%s; %s", h.states(h.a), h.states(h.b))
		}
		h.clock.add(2 * time.Second)
		for _, o := range boxes {
			o.Wake(h.a)
			o.Wake(h.b)
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	wg.Wait()
	to := map[string]int{}
	for _, m := range h.smtp.Got() {
		to[m.To]++
	}
	doubled := 0
	for i := range messages {
		switch k := to[fmt.Sprintf("u%d@example.com", i)]; {
		case k == 0:
			t.Errorf("u%d lost", i)
		case k > 1:
			doubled++
		}
	}
	ids := map[string]int{}
	for _, m := range h.smtp.Got() {
		ids[m.MessageID]++
	}
	if len(ids) != messages {
		t.Errorf("%d Message-IDs for %d messages", len(ids), messages)
	}
	for id, k := range ids {
		if _, answerLost := lost.Load(id); k > 1 && !answerLost {
			t.Errorf("%s came %d times, and its answer was not lost", id, k)
			for line := range strings.Lines(h.log.String()) {
				if strings.Contains(line, id[:24]) {
					t.Log(line)
				}
			}
		}
	}
	t.Logf("%d messages, %d came again because the server's answer was lost", messages, doubled)
}

// A process that is killed at the worst moments. Before the final dot: the message comes once. After it: it may come
// again, with the same Message-ID, and is never lost.
func TestKilledProcess(t *testing.T) {
	if url := os.Getenv("OUTBOX_TEST_URL"); url != "" {
		child(t, url)
		return
	}
	t.Parallel()
	key := filepath.Join(t.TempDir(), "master.key")
	h := furnish(t, dbtest.URL(t), openKeys(t, key))
	for _, step := range []mailtest.Step{mailtest.Rcpt, mailtest.Data, mailtest.Accepted} {
		o := h.outbox()
		before := len(h.smtp.Got())
		h.put(o, h.a, string(step)+"@example.com")
		reached := make(chan struct{})
		var once sync.Once
		release := make(chan struct{})
		h.smtp.Hook(func(s mailtest.Step, _ string) mailtest.Verdict {
			if s == step {
				once.Do(func() { close(reached); <-release })
			}
			return mailtest.Verdict{}
		})
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		cmd.Env = append(os.Environ(), "OUTBOX_TEST_URL="+h.url, "OUTBOX_TEST_SMTP="+h.smtp.URL(), "OUTBOX_TEST_KEY="+key, fmt.Sprint("OUTBOX_TEST_AHEAD=", h.clock.ahead.Load()))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reached:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the child sends nothing", step)
		}
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
		close(release)
		// The claim holds others off until it ends.
		h.deliver(o, h.a)
		if got := h.states(h.a); strings.Contains(got, "waiting") {
			t.Errorf("%s: right after the crash: %s", step, got)
		}
		h.clock.add(3 * time.Minute)
		h.deliver(o, h.a)
		got := h.smtp.Got()[before:]
		want := 1
		if step == mailtest.Accepted {
			want = 2 // the one window
		}
		if len(got) != want || got[0].MessageID != got[len(got)-1].MessageID {
			t.Errorf("killed at %s: %d messages, want %d", step, len(got), want)
		}
		if s := h.states(h.a); strings.Contains(s, "claimed") || strings.Contains(s, "handing") {
			t.Errorf("%s: %s", step, s)
		}
	}
}

func openKeys(t testing.TB, file string) *keyring.Keyring {
	t.Helper()
	master, err := keyring.LoadOrCreateMaster(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(master, 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// child is the process that gets killed.
func child(t *testing.T, url string) {
	d, err := db.Open(t.Context(), db.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	server, err := mail.ParseServer(os.Getenv("OUTBOX_TEST_SMTP"))
	if err != nil {
		t.Fatal(err)
	}
	keys := openKeys(t, os.Getenv("OUTBOX_TEST_KEY"))
	log := slog.New(slog.DiscardHandler)
	ahead, err := strconv.ParseInt(os.Getenv("OUTBOX_TEST_AHEAD"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	now := new(clock)
	now.add(time.Duration(ahead))
	tenants := tenant.NewRegistry(d, keys, tenant.Config{}, now.Now, log)
	if err := outbox.New(d, keys, tenants, outbox.Config{Server: server}, now.Now, log).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

package account_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/handlers"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/picture"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web"
	"github.com/auroralocus/locus/internal/web/account"
	"github.com/auroralocus/locus/internal/web/signin"
	"github.com/auroralocus/locus/internal/xrpc"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

const (
	hostA    = "a.test"
	hostB    = "b.test"
	password = "correct horse battery"
)

// house is a whole server with the pages of accounts, on a real socket and a database of its own, with two tenants.
type house struct {
	t       testing.TB
	url     string // of the database
	db      *db.DB
	keys    *keyring.Keyring
	tenants *tenant.Registry
	acts    *act.Acts
	plc     *plcdir.Directory
	http    *httptest.Server
	a, b    *tenant.Tenant
	ahead   atomic.Int64 // of the clock
	emails  atomic.Int64
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

func newHouse(t testing.TB, settings ...string) *house {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, url: dbtest.URL(t), keys: keys}
	h.db = dbtest.Open(t, h.url)
	log := slog.New(slog.NewTextHandler(tLog{t}, &slog.HandlerOptions{Level: slog.LevelError}))
	h.http = httptest.NewUnstartedServer(nil)
	h.plc = plcdir.New(h.db, h.now, false)
	client := outbound.New(outbound.Policy{AllowLoopback: true})
	documents := identity.NewResolver(identity.ResolverConfig{Now: h.now, Log: log, HTTP: client, PLC: h.plc, DevHost: h.http.Listener.Addr().String()})
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, h.now, log)
	actors := accounts.NewCache(h.db, 0, h.now)
	sessions := auth.NewSessions(h.db, keys, actors, h.now)
	hub := firehose.NewHub()
	dataDir := t.TempDir()
	var files blob.Config
	files.Stores.DataDir = dataDir
	blobs := blob.New(h.db, keys, h.now, log, files)
	repos := repodb.New(h.db, keys, h.now, log, repodb.Config{Hub: hub})
	mails := outbox.New(h.db, keys, h.tenants, outbox.Config{}, h.now, log)
	streams := firehose.NewTails(h.db, hub, h.now, log, firehose.Config{RingEvents: 100})
	limits := limit.New(h.db, h.now, log)
	cheap := accounts.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}
	h.acts = act.New(act.Parts{
		DB: h.db, Tenants: h.tenants, Keys: keys, Passwords: accounts.NewPasswords(accounts.PasswordConfig{Cost: cheap, Parallel: 8}, h.now),
		Sessions: sessions, Actors: actors, Directory: h.plc, Documents: documents, Repos: repos, Blobs: blobs, Outbox: mails, Hub: hub,
		Limits: limits, Now: h.now, Log: log,
	})
	services := outbound.New(outbound.Policy{AllowLoopback: true, AsSent: true, Timeout: -1})
	calls := proxy.New(proxy.Config{
		Public: services.Transport, Named: services.Transport, Documents: documents, Memory: fair.NewBytes(xrpc.DefaultAnswerMemory), Now: h.now,
		Signer: func(ctx context.Context, schema db.Schema, aid int64) (proxy.Signer, error) {
			return accounts.Signer(ctx, h.db.Tenant(schema).Q(), keys, schema, aid)
		},
	})
	frame := web.New(h.acts, h.now, log)
	entry := signin.New(signin.Config{Frame: frame, Acts: h.acts, Limits: limits, Floor: time.Millisecond})
	pages := account.New(account.Deps{Acts: h.acts, DB: h.db, Repos: repos, Blobs: blobs, Documents: documents, Proxy: calls, Limits: limits, Now: h.now})
	h.http.Config.Handler = handlers.New(handlers.Deps{
		Pages: func(g *xrpc.Group) { frame.Register(g); entry.Register(g); pages.Register(frame, g) },
		Log:   log, Now: h.now, Version: "test", Auth: sessions, ByHost: h.tenants.ByHost, DB: h.db, Tenants: h.tenants, Keys: keys, Actors: actors,
		Acts: h.acts, Repos: repos, Blobs: blobs, Pictures: picture.NewMaker(picture.Config{Dir: filepath.Join(dataDir, "pictures")}),
		Streams: streams, Documents: documents, Lexicons: lexicon.Default(), Clock: repo.NewClock(h.now, rand.IntN(1024)),
		Services: auth.NewServices(documents, h.now), Limits: limits, Proxy: calls, Answers: fair.NewBytes(xrpc.DefaultAnswerMemory),
	})
	h.http.Start()
	t.Cleanup(func() {
		streams.Close()
		h.http.CloseClientConnections()
		h.http.Close()
		repos.Close()
		blobs.Close()
		documents.Close()
		client.CloseIdleConnections()
		services.CloseIdleConnections()
	})
	set := map[string]string{"signup": "open", "crawlers": ""}
	for i := 0; i < len(settings); i += 2 {
		set[settings[i]] = settings[i+1]
	}
	for _, one := range []struct {
		host string
		t    **tenant.Tenant
	}{{hostA, &h.a}, {hostB, &h.b}} {
		*one.t, err = h.tenants.Create(t.Context(), tenant.Spec{Hostname: one.host, HandleDomains: []string{one.host}, Settings: set, AdminPassword: "admin-password"})
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// tLog fails the test on what the server logs as an error.
type tLog struct{ t testing.TB }

func (l tLog) Write(p []byte) (int, error) {
	l.t.Errorf("the server logged: %s", bytes.TrimSpace(p))
	return len(p), nil
}

func (h *house) of(host string) *tenant.Tenant {
	if host == hostB {
		return h.b
	}
	return h.a
}

// exec runs a statement beside the server; "pds." stands for the tenant's schema.
func (h *house) exec(tn *tenant.Tenant, sql string, args ...any) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(h.t.Context())
	if _, err := conn.Exec(h.t.Context(), strings.ReplaceAll(sql, "pds.", tn.Schema.String()+"."), args...); err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
}

// column reads a column of text.
func (h *house) column(tn *tenant.Tenant, sql string, args ...any) []string {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(h.t.Context())
	rows, err := conn.Query(h.t.Context(), strings.ReplaceAll(sql, "pds.", tn.Schema.String()+"."), args...)
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// person is somebody with an account, signed in with a browser.
type person struct {
	*browser
	did, handle, email, access string
}

// call calls a method in somebody's name.
func (p *person) call(nsid string, in any) map[string]any {
	p.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.origin()+"/xrpc/"+nsid, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if p.access != "" {
		r.Header.Set("Authorization", "Bearer "+p.access)
	}
	a := p.do(r)
	if a.status != 200 {
		p.t.Fatalf("%s: %d %s", nsid, a.status, a.body)
	}
	out := map[string]any{}
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &out); err != nil {
			p.t.Fatal(err)
		}
	}
	return out
}

// somebody opens an account and signs in with a browser.
func (h *house) somebody(host, name string) *person {
	h.t.Helper()
	p := &person{browser: h.browser(host), handle: name + "." + host, email: fmt.Sprintf("%s%d@example.com", name, h.emails.Add(1))}
	out := p.call("com.atproto.server.createAccount", map[string]any{"handle": p.handle, "email": p.email, "password": password})
	p.did, p.access = out["did"].(string), out["accessJwt"].(string)
	p.signIn(password)
	return p
}

// signIn signs somebody in on the browser, as the page for it does.
func (p *person) signIn(with string) {
	p.t.Helper()
	p.enter(p.browser, with)
}

func (p *person) enter(b *browser, with string) {
	p.t.Helper()
	d, _, err := p.acts.SignInDevice(p.t.Context(), p.of(p.host), act.Visitor{Language: "en"}, b.device(), act.Credentials{Identifier: p.did, Password: with, Takendown: true}, device.Stay{Remember: true})
	if err != nil {
		p.t.Fatal(err)
	}
	b.keep(d)
}

// device is the browser as acts know it.
func (b *browser) device() act.Browser {
	out := act.Browser{Seen: device.Seen{Agent: "test", Address: "127.0.0.1"}}
	for _, c := range b.jar.Cookies(b.at()) {
		switch c.Name {
		case "device":
			out.ID = c.Value
		case "device-session":
			out.Session = c.Value
		}
	}
	return out
}

func (b *browser) at() *url.URL {
	u, err := url.Parse(b.origin())
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// keep sets the cookies of a device.
func (b *browser) keep(d *device.Device) {
	if d.Keep != nil {
		b.jar.SetCookies(b.at(), []*http.Cookie{{Name: "device", Value: d.Keep.ID, Path: "/"}, {Name: "device-session", Value: d.Keep.Session, Path: "/"}})
	}
}

// letter is a message that waits.
type letter struct {
	To string
	mail.Note
}

// letters are the messages of a kind that wait, oldest first.
func (h *house) letters(tn *tenant.Tenant, kind mail.Kind) []letter {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(h.t.Context())
	rows, err := conn.Query(h.t.Context(), "SELECT convert_from(key, 'UTF8'), label, secret FROM "+tn.Schema.String()+".tenant_item WHERE kind IN (5, 6) ORDER BY created_at")
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var out []letter
	for rows.Next() {
		var id string
		var sealed []byte
		var l letter
		if err := rows.Scan(&id, &l.To, &sealed); err != nil {
			h.t.Fatal(err)
		}
		body, err := h.keys.Open(keyring.Binding{Schema: tn.Schema.String(), Owner: id, Purpose: "mail"}, sealed)
		if err == nil {
			err = json.Unmarshal(body, &l.Note)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if l.Kind == kind {
			out = append(out, l)
		}
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// code is what was mailed last to somebody about something.
func (p *person) code(kind mail.Kind) string {
	p.t.Helper()
	all := p.letters(p.of(p.host), kind)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Handle == p.handle {
			return all[i].Code
		}
	}
	p.t.Fatalf("no mail %s for %s", kind, p.handle)
	return ""
}

// told fails the test unless a notice waits, and the account's log has it.
func (p *person) told(kind mail.Kind) {
	p.t.Helper()
	if len(p.letters(p.of(p.host), kind)) == 0 {
		p.t.Errorf("nobody was told of %s", kind)
	}
	p.logged(string(kind))
}

// logged fails the test unless the account's log has it.
func (p *person) logged(what string) {
	p.t.Helper()
	log, err := accounts.ReadLog(context.WithoutCancel(p.t.Context()), p.db.Tenant(p.of(p.host).Schema).Q(), p.row().AID)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, a := range log.Acts {
		if string(a.What) == what {
			return
		}
	}
	p.t.Errorf("the log does not have %s: %+v", what, log.Acts)
}

// row is the account as it is stored.
func (p *person) row() *accounts.Account {
	p.t.Helper()
	a, err := accounts.ByDID(p.t.Context(), p.db.Tenant(p.of(p.host).Schema).Q(), p.did)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// later moves the clock beyond the time for which a proof counts.
func (p *person) later() { p.ahead.Add(int64(device.ProofLife + time.Second)) }

package handlers

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/outbound"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail/outbox"
	oauthclient "github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/picture"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/proxy/afterwrite"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/repodb"
)

// The hostnames, and handle domains, of a house's two tenants.
const (
	hostA = "a.test"
	hostB = "b.test"
)

const (
	adminPassword = "admin:pass:word" // colons belong to the password
	userPassword  = "hunter2-secret"
)

// house is the whole server as cmd/locus puts it together, on a database of its own, with two tenants and the
// built-in PLC directory.
type house struct {
	t        testing.TB
	url      string // of the database
	db       *db.DB
	keys     *keyring.Keyring
	tenants  *tenant.Registry
	sessions *auth.Sessions
	actors   *account.Cache
	repos    *repodb.Store
	acts     *act.Acts
	blobs    *blob.Blobs
	streams  *firehose.Tails
	hub      *firehose.Hub
	dataDir  string // of this house
	blobDir  string // where its files are
	outbox   *outbox.Outbox
	tokens   *auth.Services
	meter    *usage.Meter
	limits   *limit.Counter // counts when rate_limits is on
	plc      *plcdir.Directory
	clock    *houseClock
	log      *houseLog
	server   *xrpc.Server
	answers  *fair.Bytes
	http     *httptest.Server
	a, b     *tenant.Tenant
	emails   atomic.Int64
	stop     func()     // ends the open streams
	ended    chan error // what came of it

	documents *identity.Resolver
	proxy     *proxy.Proxy
}

// houseClock is the real time moved forward.
type houseClock struct{ ahead atomic.Int64 }

func (c *houseClock) Now() time.Time      { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *houseClock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// houseLog fails the test on every failure that the server has to log, unless the test is about failures.
type houseLog struct {
	t        testing.TB
	failures atomic.Int64
	allowed  atomic.Bool
	text     atomic.Pointer[[]string]
}

func (l *houseLog) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	holdLog(l.t.Name(), line)
	for {
		old := l.text.Load()
		var lines []string
		if old != nil {
			lines = *old
		}
		lines = append(lines[:len(lines):len(lines)], line)
		if l.text.CompareAndSwap(old, &lines) {
			break
		}
	}
	if strings.Contains(line, "level=ERROR") {
		l.failures.Add(1)
		if !l.allowed.Load() {
			l.t.Errorf("the server logged: %s", line)
		}
	}
	return len(p), nil
}

// elsewhere is how many lines there are about failures elsewhere.
func (l *houseLog) elsewhere() (n int) {
	if lines := l.text.Load(); lines != nil {
		for _, line := range *lines {
			if strings.Contains(line, "request failed elsewhere") {
				n++
			}
		}
	}
	return n
}

// houseOptions is what a test wants other than usual.
type houseOptions struct {
	url      string            // of the database, instead of a new one
	replicas []db.Replica      // of it
	settings map[string]string // of both tenants
	master   *keyring.Master
	blobs    blob.Config   // DataDir is the house's
	answers  int64         // memory of all answers; 0: as usual
	patience time.Duration // with other services; 0: as usual
	calls    int           // of other services at once; 0: as usual
}

func newHouse(t testing.TB) *house { return newHouseWith(t, houseOptions{}) }

func newHouseWith(t testing.TB, o houseOptions) *house {
	t.Helper()
	if o.url == "" {
		o.url = dbtest.URL(t)
	}
	if o.master == nil {
		o.master = keyring.GenerateMaster()
	}
	keys, err := keyring.New(o.master, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, url: o.url, db: dbtest.OpenConfig(t, db.Config{URL: o.url, Replicas: o.replicas}), keys: keys, clock: new(houseClock), log: &houseLog{t: t}}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.http = httptest.NewUnstartedServer(h.listen())
	h.plc = plcdir.New(h.db, h.clock.Now, false)
	client := outbound.New(outbound.Policy{AllowLoopback: true})
	h.documents = identity.NewResolver(identity.ResolverConfig{
		Now: h.clock.Now, Log: log, HTTP: client, PLC: h.plc, DevHost: h.http.Listener.Addr().String(),
	})
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, h.clock.Now, log)
	h.meter = usage.NewMeter(h.db, h.tenants, h.clock.Now, log)
	h.actors = account.NewCache(h.db, 0, h.clock.Now)
	sessions := auth.NewSessions(h.db, keys, h.actors, h.clock.Now)
	h.sessions = sessions
	hub := firehose.NewHub()
	h.hub = hub
	h.dataDir = t.TempDir()
	o.blobs.Stores.DataDir = h.dataDir
	h.blobs = blob.New(h.db, keys, h.clock.Now, log, o.blobs)
	h.blobDir = filepath.Join(h.dataDir, "blobs")
	h.repos = repodb.New(h.db, keys, h.clock.Now, log, repodb.Config{Hub: hub})
	h.outbox = outbox.New(h.db, keys, h.tenants, outbox.Config{}, h.clock.Now, log)
	h.streams = firehose.NewTails(h.db, hub, h.clock.Now, log, firehose.Config{RingEvents: 100})
	h.tokens = auth.NewServices(h.documents, h.clock.Now)
	h.limits = limit.New(h.db, h.clock.Now, log)
	passwords := account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}, Parallel: 8}, h.clock.Now)
	h.acts = act.New(act.Parts{
		DB: h.db, Tenants: h.tenants, Keys: keys, Passwords: passwords, Sessions: sessions, Actors: h.actors, Directory: h.plc,
		Documents: h.documents, Repos: h.repos, Blobs: h.blobs, Outbox: h.outbox, Hub: hub, Limits: h.limits, Usage: h.meter, Now: h.clock.Now, Log: log,
		Clients: oauthclient.NewStore(oauthclient.Config{HTTP: client, Private: func(string) bool { return true }, Now: h.clock.Now}),
	})
	h.answers = fair.NewBytes(xrpc.DefaultAnswerMemory)
	if o.answers > 0 {
		h.answers = fair.NewBytes(o.answers)
	}
	services := outbound.New(outbound.Policy{AllowLoopback: true, AsSent: true, Timeout: -1, HeaderTimeout: o.patience, IdlePerHost: 64})
	h.proxy = proxy.New(proxy.Config{
		Public: services.Transport, Named: services.Transport, Documents: h.documents, Memory: fair.NewBytes(xrpc.DefaultAnswerMemory), Now: h.clock.Now,
		Signer:   h.signer,
		Progress: o.patience, Calls: o.calls,
	})
	h.server = New(Deps{
		Log: log, Now: h.clock.Now, Version: "test",
		Auth: sessions, ByHost: h.tenants.ByHost,
		DB: h.db, Tenants: h.tenants, Keys: keys, Actors: h.actors,
		Acts:  h.acts,
		Repos: h.repos, Blobs: h.blobs, Pictures: picture.NewMaker(picture.Config{Dir: filepath.Join(h.dataDir, "pictures")}), Streams: h.streams, Documents: h.documents,
		Lexicons: lexicon.Default(),
		Clock:    repo.NewClock(h.clock.Now, rand.IntN(1024)),
		Services: h.tokens,
		Limits:   h.limits,
		Proxy:    h.proxy,
		Merged: afterwrite.New(afterwrite.Config{
			Proxy: h.proxy, Repos: h.repos, Actors: h.actors, Memory: h.answers, Now: h.clock.Now, Log: log,
			Origin: tenant.Config{Scheme: "http", Port: 2583, Dev: true}.URL,
		}).Methods(),
		Answers: h.answers,
		Usage:   h.meter,

		refusedCaller: markGate,
	})
	h.http.Start()
	running, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.ended = make(chan error, 1)
	go func() { h.ended <- h.server.Run(running) }()
	t.Cleanup(func() {
		stop()
		h.streams.Close()
		h.http.CloseClientConnections()
		h.http.Close()
		h.repos.Close()
		h.blobs.Close()
		h.documents.Close()
		client.CloseIdleConnections()
		services.CloseIdleConnections()
		h.log.keepsSecrets()
		if t.Failed() {
			if lines := h.log.text.Load(); lines != nil {
				t.Logf("end of the server's log:\n%s", strings.Join((*lines)[max(0, len(*lines)-20):], "\n"))
			}
		}
	})
	settings := map[string]string{"signup": "open", "crawlers": ""}
	for k, v := range o.settings {
		settings[k] = v
	}
	for _, one := range []struct {
		host string
		t    **tenant.Tenant
	}{{hostA, &h.a}, {hostB, &h.b}} {
		*one.t, err = h.tenants.Create(t.Context(), tenant.Spec{
			Hostname: one.host, HandleDomains: []string{one.host}, Settings: settings, AdminPassword: adminPassword,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// signer is an account's key, as cmd/locus gives it.
func (h *house) signer(ctx context.Context, schema db.Schema, aid int64) (proxy.Signer, error) {
	key, err := account.Signer(ctx, h.db.Tenant(schema).Q(), h.keys, schema, aid)
	return key, act.Gone(err)
}

// check proves every repository of both tenants, and their streams.
func (h *house) check() {
	h.t.Helper()
	for _, t := range []*tenant.Tenant{h.a, h.b} {
		err := h.repos.CheckTenant(context.WithoutCancel(h.t.Context()), t.Schema, func(r repodb.Report) error {
			for _, p := range r.Problems {
				h.t.Errorf("%s: %s: %s", t.Hostname, r.DID, p)
			}
			return nil
		})
		if err != nil {
			h.t.Errorf("check %s: %v", t.Hostname, err)
		}
	}
}

// set changes settings of a tenant, as the operator does.
func (h *house) set(host string, kv ...string) {
	h.t.Helper()
	settings := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		settings[kv[i]] = kv[i+1]
	}
	if _, err := h.tenants.Set(h.t.Context(), host, settings); err != nil {
		h.t.Fatal(err)
	}
}

// suspend switches a tenant off; what else its job does is left out.
func (h *house) suspend(host string) {
	h.t.Helper()
	t, err := h.tenants.Get(h.t.Context(), host)
	if err == nil {
		_, err = h.tenants.Suspend(h.t.Context(), t, "")
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// resume switches it on again.
func (h *house) resume(host string) {
	h.t.Helper()
	t, err := h.tenants.Get(h.t.Context(), host)
	if err == nil {
		_, err = h.tenants.Resume(h.t.Context(), t)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// exec runs a statement beside the server; "pds." stands for the tenant's schema.
func (h *house) exec(t *tenant.Tenant, sql string, args ...any) {
	h.t.Helper()
	execSQL(h.t, h.url, strings.ReplaceAll(sql, "pds.", t.Schema.String()+"."), args...)
}

// execSQL runs a statement on a connection of its own.
func execSQL(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
}

// TestHouse is the shortest way through it.
func TestHouse(t *testing.T) {
	h := newHouse(t)
	for _, host := range []string{hostA, hostB} {
		alice := h.createAccount(host, "alice")
		uri := alice.create("app.bsky.feed.post", "", postRecord("hello")).ok().str("uri")
		h.check()
		if got := alice.read("app.bsky.feed.post", rkeyOf(uri)).ok().str("value", "text"); got != "hello" {
			t.Error(got)
		}
	}
}

// setStatus sets a column of the account's row, as nobody should, and lets the server notice.
func (u *user) setStatus(column string, value any) {
	u.t.Helper()
	tn := u.tenant()
	u.exec(tn, "UPDATE pds.actor SET "+column+" = $2 WHERE did = $1", u.did, value)
	u.actors.Forget(tn.Schema, u.did)
}

func (u *user) tenant() *tenant.Tenant {
	if u.host == hostB {
		return u.b
	}
	return u.a
}

// events are the kinds of a tenant's events, in order.
func (h *house) events(tn *tenant.Tenant) string {
	h.t.Helper()
	names := []string{1: "commit", 2: "sync", 3: "identity", 4: "account"}
	var kinds []string
	for _, kind := range query64(h.t, h.url, "SELECT kind FROM "+tn.Schema.String()+".repo_event ORDER BY seq") {
		kinds = append(kinds, names[kind])
	}
	return strings.Join(kinds, " ")
}

// query64 reads a column of numbers.
func query64(t testing.TB, url, sql string, args ...any) []int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	n, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// archive reads the user's repository, proves it with the key of the DID document, and counts its blocks.
func (h *house) archive(u *user) (*repo.Archive, int) {
	h.t.Helper()
	r := h.get(u.host, "com.atproto.sync.getRepo", "", "did", u.did).ok()
	if ct := r.header.Get("Content-Type"); ct != xrpc.CarType {
		h.t.Errorf("%s: Content-Type %q", r.what, ct)
	}
	return h.verify(u, r.body), len(h.blocks(r.body))
}

// verify proves a whole archive.
func (h *house) verify(u *user, archive []byte) *repo.Archive {
	h.t.Helper()
	doc, err := h.plc.Resolve(h.t.Context(), u.did)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := doc.Key("atproto")
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := repo.Verify(bytes.NewReader(archive), u.did, key, repo.VerifyOptions{})
	if err != nil {
		h.t.Fatalf("archive of %s: %v", u.did, err)
	}
	if len(a.Invalid) > 0 {
		h.t.Errorf("archive of %s: invalid records %v", u.did, a.Invalid)
	}
	return a
}

// blocks are the different blocks of an archive, each proven against its CID.
func (h *house) blocks(archive []byte) map[string][]byte {
	h.t.Helper()
	r, err := car.NewReader(bytes.NewReader(archive), car.Limits{})
	if err != nil {
		h.t.Fatal(err)
	}
	blocks := map[string][]byte{}
	for {
		c, block, err := r.Next()
		if err == io.EOF {
			return blocks
		}
		if err != nil {
			h.t.Fatal(err)
		}
		blocks[c.String()] = bytes.Clone(block)
	}
}

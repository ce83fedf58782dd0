package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/internal/certs/certstest"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/outbound/dnstest"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	gameHost  = "pds.example.com"
	gameRelay = "relay.example.net"
)

// gameDay is a deployment in a small internet of its own: names, certificates, a PLC directory, a relay, a mail server, a
// bucket, a disk and a Postgres, each of which can be broken.
type gameDay struct {
	*testing.T
	url, dir string
	ca       *certstest.Authority
	plc      *httptest.Server
	post     *mailtest.Server
	database *slowDatabase
	server   *served
	folder   string // for files
	disk     string // it, on a small disk, from outside; "": there is none
	face     string // of the numbers
	x        checkup
	db       *db.DB

	mu     sync.Mutex
	names  map[string]string // to addresses
	ports  map[string]string // of addresses
	certs  map[string]*tls.Certificate
	cursor int64 // of the relay
}

func newGameDay(t *testing.T) *gameDay {
	g := &gameDay{T: t, url: dbtest.EmptyURL(t), dir: filepath.Join(t.TempDir(), "data"), names: map[string]string{}, ports: map[string]string{}, certs: map[string]*tls.Certificate{}}
	g.plc = httptest.NewServer(plcdir.New(dbtest.New(t), time.Now, false).Handler("test", slog.New(slog.DiscardHandler)))
	t.Cleanup(g.plc.Close)
	ok, _ := on(t, g.url, g.dir, "LOCUS_PLC_URL="+g.plc.URL)
	ok("tenant", "create", gameHost, "crawlers=https://"+gameRelay)
	ok("account", "create", gameHost, "alice."+gameHost, "--email", "alice@example.net", "--password", "hunter2-hunter2")
	g.database = newSlowDatabase(t, g.url)
	g.post = mailtest.Start(t)
	var err error
	g.ca, err = certstest.New()
	must(t, err)
	g.serve()
	target, err := url.Parse("http://127.0.0.1:" + g.server.port)
	must(t, err)
	front := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host; r.SetXForwarded() }}
	g.site("192.0.2.10", g.signed(g.ca.Certificate(gameHost, "*."+gameHost)), front, gameHost, "*."+gameHost)
	g.site("192.0.2.11", g.signed(g.ca.Certificate(gameRelay)), http.HandlerFunc(g.relay), gameRelay)
	g.checkup()
	return g
}

// signed is a certificate that could be made.
func (g *gameDay) signed(c *tls.Certificate, err error) *tls.Certificate {
	must(g.T, err)
	return c
}

// site serves at an address of the small internet.
func (g *gameDay) site(address string, cert *tls.Certificate, h http.Handler, names ...string) {
	s := httptest.NewUnstartedServer(h)
	g.certs[address] = cert
	s.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.certs[address], nil
	}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are refused
	s.StartTLS()
	g.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	must(g.T, err)
	g.ports[address] = port
	for _, name := range names {
		g.names[name] = address
	}
}

// set changes the small internet.
func (g *gameDay) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// relay says how far it has read. A real one has its place from the stream; this one says what it is told.
func (g *gameDay) relay(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "getHostStatus") {
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "active", "seq": g.cursor})
	}
}

func (g *gameDay) addressOf(name string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, ok := g.names[name]; ok {
		return at
	}
	_, parent, _ := strings.Cut(name, ".")
	return g.names["*."+parent]
}

// serve starts the program, on a small disk where that is permitted.
func (g *gameDay) serve() {
	folder := filepath.Join(g.TempDir(), "files")
	g.folder = folder
	must(g.T, os.MkdirAll(folder, 0o750))
	g.face = "127.0.0.1:" + freePort(g.T)
	s := &served{t: g.T, port: freePort(g.T), done: make(chan error, 1), log: new(lockedBuffer)}
	s.cmd = locus(g.T, "serve", "--data-dir", g.dir, "--listen", "127.0.0.1:"+s.port, "--admin-listen", g.face, "--blob-store", "disk:"+folder, "--doctor-every", "1s")
	s.cmd.Env = append(s.cmd.Env, "LOCUS_DATABASE_URL="+g.database.url, "LOCUS_PLC_URL="+g.plc.URL)
	s.cmd.Stderr = s.log
	trial := exec.Command("/bin/true")
	onSmallDisk(trial, folder)
	small := trial.Run() == nil
	if small {
		onSmallDisk(s.cmd, folder)
	} else {
		g.Log("no file system of its own is permitted here: internal/doctor's TestDeployment has the proof for disks")
	}
	must(g.T, s.cmd.Start())
	go func() { s.done <- s.cmd.Wait() }()
	g.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.logs("msg=serving")
	if small {
		g.disk = filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "root", folder)
	}
	g.server = s
}

// checkup is the doctor of a machine in this internet.
func (g *gameDay) checkup() {
	g.db = dbtest.Open(g.T, g.url)
	master, err := keyring.LoadMaster(filepath.Join(g.dir, "master.key"))
	must(g.T, err)
	keys, err := keyring.New(master, 1<<20)
	must(g.T, err)
	facts, _, err := tenant.ReadDeployment(g.Context(), g.db)
	must(g.T, err)
	names := dnstest.New(g.T, func(name string, qtype uint16) [][]byte {
		if a, err := netip.ParseAddr(g.addressOf(name)); err == nil && qtype == dnstest.TypeA {
			return [][]byte{a.AsSlice()}
		}
		return nil
	})
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: g.ca.Pool}, TLSHandshakeTimeout: 5 * time.Second,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			found, err := names.LookupHost(ctx, host)
			if err != nil {
				return nil, err
			}
			g.mu.Lock()
			port := g.ports[found[0]]
			g.mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
	net := network{client: client}
	net.resolver = identity.ResolverConfig{Now: time.Now, DNS: names, HTTP: client}
	net.remote, err = identity.DialPLC(g.plc.URL)
	must(g.T, err)
	g.Cleanup(net.remote.Close)
	net.resolver.PLC = net.remote
	server, err := mail.ParseServer(g.post.URL())
	must(g.T, err)
	quiet := slog.New(slog.DiscardHandler)
	x := checkup{
		db: g.db, facts: facts, net: net, documents: identity.NewResolver(net.resolver), keys: keys, data: dataFlags{DataDir: g.dir, BlobStore: "data:"},
		tenants: tenant.NewRegistry(g.db, keys, facts.Config(false), time.Now, quiet), post: outbox.Config{Server: server, From: "noreply@mail.test"}, serving: true,
	}
	g.Cleanup(x.documents.Close)
	x.outbox = outbox.New(g.db, keys, x.tenants, x.post, time.Now, quiet)
	g.x = x
}

// bucket is a place for files at a real S3 server.
func (g *gameDay) bucket() string {
	endpoint, stop, err := blobtest.Start()
	must(g.T, err)
	g.Cleanup(stop)
	location, err := blobtest.Bucket(g.Context(), endpoint, "game-day")
	must(g.T, err)
	return location
}

// withBucket is the doctor of a machine that opens it with a key.
func (g *gameDay) withBucket(location, secret string) checkup {
	x := g.x
	x.data.BlobStore = location
	x.blobs = blob.New(g.db, x.keys, time.Now, slog.New(slog.DiscardHandler), blob.Config{Location: location, Stores: blob.StoreConfig{DataDir: g.dir, S3: blob.Credentials{AccessKey: blobtest.AccessKey, SecretKey: secret}}})
	g.Cleanup(x.blobs.Close)
	return x
}

// itself is what a process with these parts finds about itself.
func (g *gameDay) itself(x checkup, now func() time.Time) map[string]string {
	list, err := x.tenants.List(g.Context())
	must(g.T, err)
	n := doctor.Itself{Where: "here", About: func(context.Context) (doctor.Deployment, error) {
		d := x.machine(list)
		d.Now = now
		return d, nil
	}}
	results, err := n.Look(g.Context())
	must(g.T, err)
	return found(results)
}

// finds is all that the doctor finds now.
func (g *gameDay) finds(x checkup) map[string]string {
	checks, err := x.checks(g.Context(), "", "")
	must(g.T, err)
	return found(doctor.Examine(g.Context(), checks, doctor.CheckTime, nil))
}

// found is what was seen, by the names of the findings.
func found(results []doctor.Result) map[string]string {
	out := map[string]string{}
	for _, r := range results {
		for _, f := range r.Findings {
			out[f.Name] += f.Seen + "\n"
		}
	}
	return out
}

// shows says whether the server's number of findings of a check is more than nothing.
func (g *gameDay) shows(check string) bool {
	r, err := http.Get("http://" + g.face + "/metrics")
	if err != nil {
		return false
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	must(g.T, err)
	return regexp.MustCompile(`locus_node_findings\{check="` + check + `",severity="error"\} [1-9]`).Match(body)
}

// slowDatabase stands before Postgres and can take its time.
type slowDatabase struct {
	url   string
	delay atomic.Int64
}

func newSlowDatabase(t *testing.T, to string) *slowDatabase {
	u, err := url.Parse(to)
	must(t, err)
	q := u.Query()
	real := filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port"))
	dir, err := os.MkdirTemp("", "slow") // t.TempDir's path is too long for a socket
	must(t, err)
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	must(t, err)
	t.Cleanup(func() { _ = l.Close(); _ = os.RemoveAll(dir) })
	q.Set("host", dir)
	q.Set("port", "5432")
	u.RawQuery = q.Encode()
	s := &slowDatabase{url: u.String()}
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go s.pass(c, real)
			}
		}
	}()
	return s
}

func (s *slowDatabase) pass(client net.Conn, real string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", real)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(time.Duration(s.delay.Load()))
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

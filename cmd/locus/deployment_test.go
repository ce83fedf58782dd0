package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/schema"
)

// serveFor starts a server that is no development server, on the database at url, and returns when it serves.
func serveFor(t *testing.T, url, dir string, env []string, args ...string) *served {
	t.Helper()
	s := &served{t: t, port: freePort(t), done: make(chan error, 1), log: new(lockedBuffer)}
	s.cmd = locus(t, append([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:" + s.port}, args...)...)
	s.cmd.Env = append(s.cmd.Env, append([]string{"LOCUS_DATABASE_URL=" + url}, env...)...)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.logs("msg=serving")
	return s
}

// logs waits for a text in the server's log.
func (s *served) logs(want string) {
	s.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(s.log.String(), want); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-s.done:
			s.t.Fatalf("the server ended: %v\n%s", err, s.log)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q is not in the server's log:\n%s", want, s.log)
		}
	}
}

// lockedBuffer is written by a program and read by a test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// on gives what runs commands on a database: ok those that must succeed, refused those that must say why not.
func on(t *testing.T, url, dir string, env ...string) (ok func(args ...string) string, refused func(want string, args ...string)) {
	command := func(args []string) (string, string, error) {
		cmd := locus(t, append(args, "--data-dir", dir)...)
		cmd.Env = append(cmd.Env, append([]string{"LOCUS_DATABASE_URL=" + url}, env...)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		return out.String(), errs.String(), err
	}
	ok = func(args ...string) string {
		t.Helper()
		out, errs, err := command(args)
		if err != nil {
			t.Fatalf("locus %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
		}
		return out
	}
	refused = func(want string, args ...string) {
		t.Helper()
		out, errs, err := command(args)
		if err == nil || !strings.Contains(errs, want) || strings.Contains(errs, "goroutine") {
			t.Errorf("locus %s: %v, want %q\n%s%s", strings.Join(args, " "), err, want, out, errs)
		}
	}
	return ok, refused
}

// sql runs statements beside the server.
func sql(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func tenantsIn(t *testing.T, url string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM control.tenant").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// unmarked makes a database one of before the deployment was noted.
func unmarked(t *testing.T, url string) {
	t.Helper()
	files, err := fs.Glob(schema.Control(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Backward(files[1:]) {
		text, err := fs.ReadFile(schema.Control(), name)
		if err != nil {
			t.Fatal(err)
		}
		_, down, _ := strings.Cut(string(text), "-- +goose Down\n")
		sql(t, url, down)
	}
	sql(t, url, "DELETE FROM control.goose_db_version WHERE version_id > 1")
}

// TestProductionIsNotDevelopment: --dev never touches a database that is not a development server's, and no other server
// serves one that is; also databases that do not say what they are.
func TestProductionIsNotDevelopment(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, refused := on(t, url, dir)
	dev := []string{"serve", "--dev", "--listen", "127.0.0.1:0", "--plc-listen", "127.0.0.1:0"}
	ok("tenant", "create", "pds.example.com")
	refused("not a development server's", dev...)
	refused("deployment set development=on", dev...)
	refused("not a development server's", "account", "list", "pds.example.com", "--dev")
	unmarked(t, url)
	refused("not a development server's", dev...)
	if n := tenantsIn(t, url); n != 1 {
		t.Errorf("--dev left %d tenants in a production database", n)
	}

	url, dir = dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, refused = on(t, url, dir)
	s := serveAs(t, dir, func(c *exec.Cmd) { c.Env = append(c.Env, "LOCUS_DATABASE_URL="+url) })
	if out := ok("account", "list", "localhost", "--dev"); !strings.Contains(out, "alice.test") {
		t.Errorf("a command beside it: %s", out)
	}
	if out := ok("tenant", "show", "localhost"); !strings.Contains(out, "http://localhost:"+s.port) {
		t.Errorf("a command beside it: %s", out)
	}
	s.stop()
	serve := []string{"serve", "--listen", "127.0.0.1:0"}
	refused("is a development server's", serve...)
	unmarked(t, url)
	refused("is a development server's", serve...)
	if out := ok("deployment", "show"); !strings.Contains(out, "development  on") || !strings.Contains(out, s.port) || !strings.Contains(out, "the next 'locus serve'") {
		t.Errorf("what its traces tell: %s", out)
	}
	s = serveAs(t, dir, func(c *exec.Cmd) { c.Env = append(c.Env, "LOCUS_DATABASE_URL="+url) }) // adopted, at another port
	if out := ok("deployment", "show"); !strings.Contains(out, s.port) || strings.Contains(out, "the next") {
		t.Errorf("after a start elsewhere: %s", out)
	}
	s.stop()
	refused("for development", "deployment", "set", "development=off")
	ok("deployment", "set", "development=off", "scheme=https", "port=0", "plc_url=https://plc.directory")
	refused("not a development server's", dev...)
	s = serveFor(t, url, dir, nil)
	s.stop()
}

// TestContradictions: the public scheme, the port and the PLC directory are the database's; a process or a command that
// says otherwise does nothing, and says both. An older database is taken for what it was served as.
func TestContradictions(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	env := []string{"LOCUS_PUBLIC_SCHEME=https", "LOCUS_PUBLIC_PORT=8443", "LOCUS_PLC_URL=HTTPS://PLC.example.com:443/"}
	ok, refused := on(t, url, dir)
	as, _ := on(t, url, dir, env...)
	as("tenant", "create", "pds.example.com") // an installation may begin so
	unmarked(t, url)
	if out := as("deployment", "show"); !strings.Contains(out, "https://plc.example.com\n") {
		t.Errorf("as the flags tell: %s", out)
	}
	s := serveFor(t, url, dir, env)
	s.logs("the PLC directory does not answer") // .example.com is nobody's
	if out := ok("tenant", "show", "pds.example.com"); !strings.Contains(out, "https://pds.example.com:8443") {
		t.Errorf("a command that says nothing: %s", out)
	}
	for _, flags := range [][]string{
		{"http", "--public-scheme", "http"}, {"8443", "--public-port", "0"}, {"https://plc.example.com", "--plc-url", "https://plc.directory"},
	} {
		for _, command := range [][]string{
			{"serve", "--listen", "127.0.0.1:0"}, {"tenant", "create", "two.example.com"}, {"account", "list", "pds.example.com"}, {"repo", "check", "pds.example.com"},
		} {
			refused("the database "+flags[0], append(command, flags[1:]...)...)
			refused("locus deployment set", append(command, flags[1:]...)...)
		}
	}
	for _, bad := range []string{"plc.directory", "ftp://plc.directory", "https://", "https://me:secret@plc.directory", "https://plc.directory?x=1", "http://[::1"} {
		refused("PLC directory", "serve", "--listen", "127.0.0.1:0", "--plc-url", bad)
	}
	refused("no port", "deployment", "set", "port=65536")
	refused("http or https", "deployment", "set", "scheme=ftp")
	refused("the facts are", "deployment", "set", "hostname=x")
	ok("deployment", "set", "port=0")
	refused("the database 0", "tenant", "list", "--public-port", "8443")
	s.stop()
	if out := ok("deployment", "show", "--json"); !strings.Contains(out, `"port": 0`) || !strings.Contains(out, `"noted": true`) {
		t.Errorf("show: %s", out)
	}
}

// TestPrivateDirectory: a PLC directory that the operator runs at home, by http, is reached; strangers cannot make the
// server ask that address for anything else.
func TestPrivateDirectory(t *testing.T) {
	t.Parallel()
	plc := serve(t, filepath.Join(t.TempDir(), "plc")) // its built-in directory is the private one
	_, after, found := strings.Cut(plc.greeting, "http://127.0.0.1:")
	if !found {
		t.Fatalf("no directory in the greeting:\n%s", plc.greeting)
	}
	directory := "http://" + net.JoinHostPort("127.0.0.1", strings.Fields(after)[0])
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, _ := on(t, url, dir, "LOCUS_PLC_URL="+directory)
	ok("tenant", "create", "pds.example.com", "signup=open")
	s := serveFor(t, url, dir, []string{"LOCUS_PLC_URL=" + directory})
	status, body := s.post("pds.example.com", "com.atproto.server.createAccount", "", map[string]string{"handle": "alice.pds.example.com", "email": "alice@example.com", "password": "alice-password"})
	var made struct{ DID string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != http.StatusOK {
		t.Fatalf("sign up: %d %s", status, body)
	}
	resp, err := http.Get(directory + "/" + made.DID)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the directory does not know %s: %s", made.DID, resp.Status)
	}
	if out := ok("account", "rotate-key", "pds.example.com", "alice.pds.example.com"); out == "" {
		t.Error("a command reaches it as well")
	}
	asked := make(chan struct{}, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
			asked <- struct{}{}
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, did := range []string{"did:web:127.0.0.1%3A" + port, "did:web:localhost%3A" + port, "did:web:" + strings.Replace(strings.TrimPrefix(directory, "http://"), ":", "%3A", 1)} {
		if status, body := s.get("pds.example.com", "/xrpc/com.atproto.identity.resolveDid?did="+did); status == http.StatusOK || strings.Contains(body, "127.0.0.1") {
			t.Errorf("%s: %d %s", did, status, body)
		}
	}
	select {
	case <-asked:
		t.Error("a stranger made the server ask its own machine")
	default:
	}
	if strings.Contains(s.log.String(), "does not answer") {
		t.Errorf("the directory answers:\n%s", s.log)
	}
	s.stop()
	plc.stop()
}

// TestNewerTenant: a tenant whose schema a newer program has migrated is refused by this one, and no other tenant is.
func TestNewerTenant(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, refused := on(t, url, dir)
	ok("tenant", "create", "new.example.com")
	ok("tenant", "create", "old.example.com")
	s := serveFor(t, url, dir, nil)
	describe := "/xrpc/com.atproto.server.describeServer"
	if status, body := s.get("new.example.com", describe); status != http.StatusOK { // "serving" is said before tenants are first read
		t.Fatalf("before it is newer: %d %s", status, body)
	}
	// While it runs, as when one process after another is brought up to date: both go on, for migrations only add.
	sql(t, url, "INSERT INTO t_1.goose_db_version (version_id) VALUES (1000)", "UPDATE control.tenant SET version = 1000 WHERE tenant_id = 1")
	ok("tenant", "set", "old.example.com", "signup=closed")
	for _, host := range []string{"new.example.com", "old.example.com"} {
		if status, body := s.get(host, describe); status != http.StatusOK {
			t.Errorf("%s while it runs: %d %s", host, status, body)
		}
	}
	s.stop()
	for _, known := range []bool{true, false} {
		if !known { // control lags behind, as after a restore
			sql(t, url, "UPDATE control.tenant SET version = 1 WHERE tenant_id = 1")
		}
		s = serveFor(t, url, dir, nil)
		for range 3 {
			if status, body := s.get("new.example.com", describe); status != http.StatusServiceUnavailable || !strings.Contains(body, "being updated") {
				t.Errorf("the newer tenant: %d %s", status, body)
			}
		}
		if status, body := s.get("old.example.com", describe); status != http.StatusOK {
			t.Errorf("the other tenant: %d %s", status, body)
		}
		if n := strings.Count(s.log.String(), "level=ERROR"); n != 1 || strings.Count(s.log.String(), "version 1000") != 1 {
			t.Errorf("%d lines about it:\n%s", n, s.log)
		}
		s.stop()
	}
	refused("newer than this program", "account", "list", "new.example.com")
	refused("newer than this program", "tenant", "set", "new.example.com", "signup=open")
	refused("newer than this program", "repo", "check", "new.example.com")
	ok("account", "list", "old.example.com")
	if out := ok("tenant", "list"); !strings.Contains(out, "newer than this program") {
		t.Errorf("tenant list: %s", out)
	}
	sql(t, url, "INSERT INTO control.goose_db_version (version_id) VALUES (1000)")
	refused("newer than this program", "account", "list", "old.example.com")
	refused("newer than this program", "serve", "--listen", "127.0.0.1:0")
}

// TestHangup: SIGHUP ends nothing.
func TestHangup(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, _ := on(t, url, dir)
	ok("tenant", "create", "pds.example.com")
	s := serveFor(t, url, dir, nil)
	for range 2 {
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	s.logs("SIGHUP")
	if status, body := s.get("pds.example.com", "/xrpc/_health"); status != http.StatusOK {
		t.Errorf("after SIGHUP: %d %s", status, body)
	}
	s.stop()
}

// TestStartChecks: what is said on the command line about waiting and keys is so, or is refused before anything waits.
func TestStartChecks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, refused := on(t, "postgres://nobody@"+silent.Addr().String()+"/none?connect_timeout=60", dir)
	started := time.Now()
	refused("hex digits", "serve", "--listen", "127.0.0.1:0", "--master-key", "zz")
	refused("occurs twice", "serve", "--listen", "127.0.0.1:0", "--master-key", strings.Repeat("ab", 32)+","+strings.Repeat("cd", 32))
	refused("no time to wait", "serve", "--listen", "127.0.0.1:0", "--database-wait=-1s")
	refused("unavailable after", "serve", "--listen", "127.0.0.1:0", "--database-wait", "1s", "--master-key", "2:"+strings.Repeat("ab", 32)+",1:"+strings.Repeat("cd", 32))
	if took := time.Since(started); took > 40*time.Second {
		t.Errorf("it took %s", took)
	}
	_, refused = on(t, "postgres://nobody@127.0.0.1:1/none", dir)
	started = time.Now()
	refused("unavailable after", "migrate", "--database-wait", "0s")
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("one attempt took %s", took)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data folder was made: %v", err)
	}
}

// TestCommandsFollowDevServer: what a command makes beside a development server is reached where that listens, and its
// DIDs are in the server's own directory, without a word about either on the command line.
func TestCommandsFollowDevServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	endpoint := func(handle string) string {
		t.Helper()
		status, body := s.get("localhost", "/xrpc/com.atproto.repo.describeRepo?repo="+handle)
		var repo struct {
			DIDDoc struct {
				Service []struct{ ServiceEndpoint string }
			}
		}
		if err := json.Unmarshal([]byte(body), &repo); err != nil || status != http.StatusOK || len(repo.DIDDoc.Service) != 1 {
			t.Fatalf("%d %s %v", status, body, err)
		}
		return repo.DIDDoc.Service[0].ServiceEndpoint
	}
	ok, _ := commandsIn(t, dir)
	ok("account", "create", "localhost", "robert.test", "--email", "robert@example.com", "--password", "robert-password")
	if got, want := endpoint("robert.test"), "http://localhost:"+s.port; got != want {
		t.Errorf("the account's DID leads to %s, want %s", got, want)
	}
	ok("account", "rotate-key", "localhost", "robert.test")
	if got, want := endpoint("robert.test"), "http://localhost:"+s.port; got != want {
		t.Errorf("after a new key the account's DID leads to %s, want %s", got, want)
	}
	rotatesSecrets(t, s, dir)
	if out := ok("tenant", "create", "third.localhost", "--json"); !strings.Contains(out, "http://third.localhost:"+s.port) || !strings.Contains(out, "did:web:third.localhost%3A"+s.port) {
		t.Errorf("a tenant made beside it: %s", out)
	}
	s.stop()
	if out := ok("tenant", "show", "localhost"); !strings.Contains(out, "http://localhost:"+s.port) {
		t.Errorf("when it has stopped: %s", out)
	}

	// A folder of before the database said so has a note, and the note is taken away.
	if err := os.WriteFile(filepath.Join(dir, "development.json"), []byte(`{"port":4001}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "development.json")); !os.IsNotExist(err) {
		t.Errorf("the note stays: %v", err)
	}
	s.stop()
}

// TestDevNames: a server that allows names for development limits calls as any other does, and says what it allows.
func TestDevNames(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	_, refused := on(t, url, dir)
	refused("not public", "tenant", "create", "pds.test")
	ok, _ := on(t, url, dir, "LOCUS_DEV_NAMES=1")
	ok("tenant", "create", "pds.test")
	s := serveFor(t, url, dir, []string{"LOCUS_DEV_NAMES=1"})
	s.logs("LOCUS_DEV_NAMES")
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+s.port+"/xrpc/com.atproto.server.describeServer", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "pds.test"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Ratelimit-Limit") == "" {
		t.Errorf("calls are not counted: %s %v", resp.Status, resp.Header)
	}
	s.stop()
}

// TestAccountInfoShowsDeleteAfter: an operator sees when an account is going to be deleted.
func TestAccountInfoShowsDeleteAfter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "alice.test", "password": devPassword})
	var session struct{ AccessJwt string }
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, body, err)
	}
	const at = "2031-05-06T07:08:09Z"
	if status, body := s.post("localhost", "com.atproto.server.deactivateAccount", session.AccessJwt, map[string]string{"deleteAfter": at}); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	ok, _ := commandsIn(t, dir)
	if out := ok("account", "info", "localhost", "alice.test"); !strings.Contains(out, `"deleteAfter": "`+at+`"`) {
		t.Errorf("account info: %s", out)
	}
	s.stop()
}

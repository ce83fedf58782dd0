package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/freeport"
)

// asLocus makes this test binary be the program itself, so that the tests need no other build.
const asLocus = "LOCUS_TEST_BE_LOCUS"

func TestMain(m *testing.M) {
	if os.Getenv(asLocus) != "" {
		main()
		return
	}
	code := m.Run()
	unraced.remove()
	os.Exit(code)
}

// plainProgram is the program without the race detector, with which a command starts five times as fast.
type plainProgram struct {
	mu   sync.Mutex
	dir  string
	path string          // "": not built yet
	seen map[string]bool // commands that the race detector has looked at
}

var unraced = plainProgram{seen: map[string]bool{}}

// of is the program to run a command with. The race detector looks at servers always, and at each command the first time:
// tests run some a hundred times.
func (p *plainProgram) of(t *testing.T, args []string) string {
	t.Helper()
	command := strings.Join(args[:min(len(args), 2)], " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	if !raced || strings.HasPrefix(command, "serve") || !p.seen[command] {
		p.seen[command] = true
		return os.Args[0]
	}
	if p.path != "" {
		return p.path
	}
	dir, err := os.MkdirTemp("", "locus-plain-")
	must(t, err)
	p.dir = dir
	path := filepath.Join(dir, "locus")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v: %s", err, out)
	}
	p.path = path
	return path
}

func (p *plainProgram) remove() {
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

// locus prepares a run of the program.
func locus(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(unraced.of(t, args), args...)
	// The race detector would have each program wait a second before it ends.
	cmd.Env = append(os.Environ(), asLocus+"=1", "LOCUS_DATABASE_URL=", "LOCUS_MASTER_KEY=", strings.TrimSpace("GORACE=atexit_sleep_ms=10 "+os.Getenv("GORACE")))
	return cmd
}

// run runs the program to its end and returns what it printed.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return runWith(t, nil, args...)
}

// runWith is run with more in its environment.
func runWith(t *testing.T, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := locus(t, args...)
	cmd.Env = append(cmd.Env, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

type served struct {
	t        *testing.T
	cmd      *exec.Cmd
	port     string
	greeting string
	done     chan error
	log      *lockedBuffer // where the test asks for it
}

// serve starts the development server and returns when it has greeted.
func serve(t *testing.T, dir string) *served {
	t.Helper()
	return serveAs(t, dir, func(*exec.Cmd) {})
}

// serveAs is serve after a change of how the program is started.
func serveAs(t *testing.T, dir string, change func(*exec.Cmd)) *served {
	t.Helper()
	s := &served{t: t, port: freePort(t), done: make(chan error, 1)}
	s.cmd = locus(t, "serve", "--dev", "--data-dir", dir, "--listen", "127.0.0.1:"+s.port, "--plc-listen", "127.0.0.1:0")
	var errs bytes.Buffer
	s.cmd.Stderr = &errs
	change(s.cmd)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	greeted := make(chan string, 1)
	go func() {
		var text strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "Ctrl-C stops everything") {
				greeted <- text.String()
			}
		}
		s.done <- s.cmd.Wait()
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	select {
	case s.greeting = <-greeted:
	case err := <-s.done:
		t.Fatalf("the server ended while starting: %v\n%s", err, errs.String())
	case <-time.After(90 * time.Second):
		t.Fatal("the server does not greet")
	}
	return s
}

// stop asks the server to end as Ctrl-C does.
func (s *served) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Fatalf("after Ctrl-C: %v", err)
		}
	case <-time.After(60 * time.Second):
		s.t.Fatal("Ctrl-C does not end the server")
	}
}

// get asks for a page under a Host, and gives status and body.
func (s *served) get(host, path string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+s.port+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	return s.do(r)
}

func (s *served) post(host, method, token string, in any) (int, string) {
	s.t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+s.port+"/xrpc/"+method, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return s.do(r)
}

func (s *served) do(r *http.Request) (int, string) {
	s.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func freePort(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestFirstRun goes the way of a newcomer: start, sign in, write, make a tenant beside the running server, stop, start
// again, crash, start again.
func TestFirstRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	for _, want := range []string{"http://localhost:" + s.port, "http://beta.localhost:" + s.port, "alice.test", "alice.beta.test", devPassword, "/docs"} {
		if !strings.Contains(s.greeting, want) {
			t.Errorf("the greeting does not mention %s:\n%s", want, s.greeting)
		}
	}
	if status, body := s.get("nobody.example", "/xrpc/_health"); status != http.StatusMisdirectedRequest {
		t.Errorf("unknown host: %d %s", status, body)
	}
	uri := s.signInAndPost("localhost", "alice.test")
	s.signInAndPost("beta.localhost", "alice.beta.test")

	// An operator's commands work beside the server, which follows them.
	if out, errs, err := run(t, "tenant", "create", "third.localhost", "--data-dir", dir, "--handle-domain", "third.test", "signup=open", "--json"); err != nil {
		t.Fatalf("tenant create: %v\n%s%s", err, out, errs)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		status, body := s.get("third.localhost", "/xrpc/com.atproto.server.describeServer")
		if status == http.StatusOK && strings.Contains(body, ".third.test") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not see the new tenant: %d %s", status, body)
		}
		time.Sleep(100 * time.Millisecond)
	}
	out, errs, err := run(t, "tenant", "list", "--data-dir", dir, "--json")
	if err != nil || strings.Count(out, `"hostname"`) != 3 {
		t.Errorf("tenant list: %v\n%s%s", err, out, errs)
	}
	if out, errs, err := run(t, "repo", "check", "localhost", "--data-dir", dir); err != nil || !strings.Contains(out, "ok") {
		t.Errorf("repo check: %v\n%s%s", err, out, errs)
	}
	out, errs, err = run(t, "repo", "check", "localhost", "--data-dir", dir, "--json")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); err != nil || len(lines) != 2 || !strings.Contains(lines[0], `"records":1`) || !strings.Contains(lines[1], `"stream":true`) {
		t.Errorf("repo check --json: %v\n%s%s", err, out, errs)
	}
	// A second server on the same folder says what is wrong and harms nothing.
	if _, errs, err := run(t, "serve", "--dev", "--data-dir", dir, "--listen", "127.0.0.1:"+s.port); err == nil || !strings.Contains(errs, "--listen") {
		t.Errorf("a second server on the address: %v %s", err, errs)
	}
	s.stop()
	postgresGone(t, dir)

	s = serve(t, dir)
	if status, body := s.get("localhost", uri); status != http.StatusOK {
		t.Errorf("after a restart: %d %s", status, body)
	}
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.done
	s = serve(t, dir)
	if status, body := s.get("localhost", uri); status != http.StatusOK {
		t.Errorf("after a crash: %d %s", status, body)
	}
	s.stop()
	postgresGone(t, dir)
}

// signInAndPost gives the path that reads the post back.
func (s *served) signInAndPost(host, handle string) string {
	s.t.Helper()
	status, body := s.post(host, "com.atproto.server.createSession", "", map[string]string{"identifier": handle, "password": devPassword})
	if status != http.StatusOK {
		s.t.Fatalf("sign in as %s: %d %s", handle, status, body)
	}
	var session struct{ AccessJwt, DID string }
	if err := json.Unmarshal([]byte(body), &session); err != nil {
		s.t.Fatal(err)
	}
	status, body = s.post(host, "com.atproto.repo.createRecord", session.AccessJwt, map[string]any{
		"repo": session.DID, "collection": "app.bsky.feed.post", "rkey": "3jzfcijpj2z2a",
		"record": map[string]any{"$type": "app.bsky.feed.post", "text": "hello", "createdAt": "2026-01-01T00:00:00Z"},
	})
	if status != http.StatusOK {
		s.t.Fatalf("post as %s: %d %s", handle, status, body)
	}
	return fmt.Sprintf("/xrpc/com.atproto.repo.getRecord?repo=%s&collection=app.bsky.feed.post&rkey=3jzfcijpj2z2a", session.DID)
}

// postgresGone fails when the private Postgres outlived the server.
func postgresGone(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "pgdata", "postmaster.pid")); err == nil {
		t.Error("the private Postgres is still there")
	}
}

// TestRefusals: a command that cannot work says so, and why.
func TestRefusals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"development on the network", []string{"serve", "--dev", "--listen", "0.0.0.0:2583", "--data-dir", dir}, "loopback only"},
		{"profiler on the network", []string{"serve", "--debug-listen", ":6060", "--data-dir", dir}, "loopback only"},
		{"unknown command", []string{"serv"}, "unexpected argument"},
		{"database that is not there", []string{"migrate", "--database-url", "postgres://nobody:hunter2@127.0.0.1:1/none", "--data-dir", dir}, "127.0.0.1"},
		{"bad master key", []string{"tenant", "create", "pds.example.com", "--master-key", "zz", "--data-dir", dir}, "master key"},
		{"no database there", []string{"tenant", "list", "--data-dir", dir + "-other"}, "there is no database"},
		{"nothing to set", []string{"tenant", "set", "localhost", "--data-dir", dir}, "nothing to set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "database that is not there" {
				t.Setenv("LOCUS_DATABASE_WAIT", "1s")
			}
			out, errs, err := run(t, test.args...)
			if err == nil {
				t.Fatalf("it succeeded: %s", out)
			}
			if !strings.Contains(errs+out, test.want) {
				t.Errorf("the message does not say %q:\n%s%s", test.want, out, errs)
			}
			if strings.Contains(errs+out, "hunter2") {
				t.Errorf("the message shows the password:\n%s", errs)
			}
		})
	}
}

// TestTenantCommands goes through a tenant's settings by the command line alone, on a database of its own.
func TestTenantCommands(t *testing.T) {
	ok, refused := on(t, dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data"))
	made := ok("tenant", "create", "pds.example.com", "--handle-domain", "example.com", "signup=open")
	for _, want := range []string{"https://pds.example.com", "did:web:pds.example.com", "NAME.example.com", "open: anybody", "DNS: pds.example.com and *.example.com", "locus account create pds.example.com alice.example.com"} {
		if !strings.Contains(made, want) {
			t.Errorf("create does not say %q", want)
		}
	}
	if n := strings.Count(made, "\n"); n > 14 || strings.Contains(made, "blob_upload_limit") || strings.Contains(made, "invite create") {
		t.Errorf("create says in %d lines:\n%s", n, made)
	}
	settings := func(text string) int {
		var one struct{ Settings map[string]string }
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		return len(one.Settings)
	}
	if all, made := ok("tenant", "show", "pds.example.com", "--json"), ok("tenant", "create", "whole.example.com", "--json"); settings(made) < 50 || settings(made) != settings(all) {
		t.Errorf("create --json does not have the settings that show --json has:\n%s", made)
	}
	if made := ok("tenant", "create", "few.example.com", "--admin-password", "password-of-admin"); !strings.Contains(made, "\n  locus invite create few.example.com\n") || strings.Contains(made, "has no password") {
		t.Errorf("create of one that asks for codes:\n%s", made)
	}
	ok("invite", "create", "few.example.com") // as it was told
	refused("another tenant", "tenant", "create", "other.example.org", "--handle-domain", "example.com")
	refused("pds.example.com", "tenant", "create", "pds.example.com")
	refused("tenant keys", "tenant", "set", "pds.example.com", "no_such_setting=1")
	refused("none of de, en, es, fr, ja, nl, pt-BR", "tenant", "set", "pds.example.com", "mail_language=xx")
	refused("neither a number", "blob", "limit", "pds.example.com", "alice.example.com", "5GB")
	refused("--top", "blob", "usage", "pds.example.com", "--top=-1")
	refused("token nothing", "operator", "revoke", "pds.example.com", "nothing")
	refused("smtp-url", "mail", "try", "pds.example.com", "me@example.com")
	refused("tenant list", "tenant", "show", "nobody.example.com")
	if out := ok("tenant", "set", "pds.example.com", "contact_email=help@example.com", "--json"); !strings.Contains(out, `"contact_email": "help@example.com"`) {
		t.Errorf("set: %s", out)
	}
	ok("tenant", "smtp", "pds.example.com", "smtp://us:hunter2@mail.example.com:587")
	refused("begin it with smtp", "tenant", "smtp", "pds.example.com", "http://mail.example.com")
	if out := ok("tenant", "jump", "pds.example.com", "--by", "5"); !strings.Contains(out, "number 6") {
		t.Errorf("jump: %s", out)
	}
	out := ok("tenant", "show", "pds.example.com")
	for _, want := range []string{"did:web:pds.example.com", "https://pds.example.com", "help@example.com"} {
		if !strings.Contains(out, want) {
			t.Errorf("show has no %s:\n%s", want, out)
		}
	}
	var log []string
	for line := range strings.Lines(ok("audit", "list", "pds.example.com", "--json")) {
		if strings.Contains(line, "hunter2") {
			t.Errorf("the log has the password: %s", line)
		}
		var e struct{ Who, Action, Subject, Outcome string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || !strings.HasPrefix(e.Who, "cli:") || e.Subject != "pds.example.com" || e.Outcome != "done" {
			t.Errorf("%s %v", line, err)
		}
		log = append(log, e.Action)
	}
	if got := strings.Join(log, ", "); got != "tenant create, tenant set, tenant smtp, tenant jump" {
		t.Errorf("the audit log has: %s", got)
	}
	ok("invite", "create", "pds.example.com", "--uses", "2")
	if out := ok("invite", "list", "pds.example.com", "--json"); !strings.HasPrefix(out, `{"code":"pds-example-com-`) || !strings.Contains(out, `"left":2`) {
		t.Errorf("invite list: %s", out)
	}
	if out := ok("migrate"); !strings.Contains(out, "version") {
		t.Errorf("migrate: %s", out)
	}
}

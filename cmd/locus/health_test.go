package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
)

// supervised is systemd's side: what a process told it.
type supervised struct {
	path string
	mu   sync.Mutex
	told strings.Builder
}

func supervise(t *testing.T) *supervised {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &supervised{path: filepath.Join(dir, "s")}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.told.WriteString(string(b[:n]) + "\n")
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *supervised) count(line string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.told.String(), line)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 600 {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("not within half a minute: %s", what)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOperated: what a machine's supervisor and its balancer see of a process, from its start over a reload to its end.
func TestOperated(t *testing.T) {
	t.Parallel()
	systemd, dir := supervise(t), t.TempDir()
	settings, logFile := filepath.Join(dir, "locus.yaml"), filepath.Join(dir, "log")
	p := dbtest.NewProxy(t, dbtest.EmptyURL(t))
	write := func(text string) { must(t, os.WriteFile(settings, []byte(text), 0o600)) }
	same := "database-url: " + p.URL() + "\nlog-file: " + logFile + "\ndrain-delay: 10m\n"
	write(same + "log-level: info\n")
	face := "127.0.0.1:" + freePort(t)
	s := serveAs(t, filepath.Join(dir, "data"), func(cmd *exec.Cmd) {
		var env []string
		for _, pair := range cmd.Env { // of the environment, which would win
			if !strings.HasPrefix(pair, "LOCUS_DATABASE_URL=") {
				env = append(env, pair)
			}
		}
		cmd.Env = append(env, "LOCUS_CONFIG="+settings, "NOTIFY_SOCKET="+systemd.path, "WATCHDOG_USEC=100000")
		cmd.Args = append(cmd.Args, "--admin-listen", face)
	})
	admin := func(path string) (int, string) {
		r, err := http.Get("http://" + face + path)
		if err != nil {
			return 0, err.Error()
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(body)
	}
	public := func(path string) (int, string) { return s.get("203.0.113.9", path) }
	log := func() string {
		text, _ := os.ReadFile(logFile)
		return string(text)
	}
	eventually(t, "READY", func() bool { return systemd.count("READY=1\nSTATUS=serving") == 1 })
	if systemd.count("STATUS="+phaseDatabase.why) != 1 || systemd.count("STATUS="+phaseMigrate.why) != 1 {
		t.Error("systemd is not told what a start waits for")
	}
	eventually(t, "WATCHDOG", func() bool { return systemd.count("WATCHDOG=1") > 2 })

	// A tenant that is away is no reason, the database is one, and whoever asks under whatever name learns it.
	if _, errs, err := runWith(t, []string{"LOCUS_DATABASE_URL=" + p.URL()}, "tenant", "suspend", "localhost", "--background", "--data-dir", filepath.Join(dir, "data")); err != nil {
		t.Fatal(err, errs)
	}
	for _, ask := range []func(string) (int, string){admin, public, func(path string) (int, string) { return s.get("localhost", path) }} {
		becomes(t, ask, "/readyz", http.StatusOK)
		p.Down(true)
		becomes(t, ask, "/readyz", http.StatusServiceUnavailable)
		if _, body := ask("/readyz"); !strings.Contains(body, `"part":"database"`) {
			t.Error(body)
		}
		if code, body := ask("/livez"); code != http.StatusOK || body != "{\"status\":\"ok\"}\n" {
			t.Error(code, body)
		}
		p.Down(false)
		becomes(t, ask, "/readyz", http.StatusOK)
	}

	// A hang-up reads what can be read, opens the log anew, and says what it could not do.
	must(t, os.Rename(logFile, logFile+".1"))
	write(same + "log-level: debug\nconnections: 77\n")
	must(t, s.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, "RELOADING and READY", func() bool {
		return systemd.count("RELOADING=1\nMONOTONIC_USEC=") == 1 && systemd.count("READY=1") == 2
	})
	if said := log(); !strings.Contains(said, `level=WARN msg="SIGHUP: settings were read again"`) || !strings.Contains(said, "log-level: debug") ||
		!strings.Contains(said, "tenants read") || !strings.Contains(said, "needs_restart=connections") || strings.Contains(said, "MONOTONIC_USEC=0\n") {
		t.Error(said)
	}
	// What needs a restart is told until the file is as it was at the start, what cannot be set until it can.
	again := func(text string) (said string) {
		t.Helper()
		before := len(log())
		write(same + text)
		must(t, s.cmd.Process.Signal(syscall.SIGHUP))
		eventually(t, "a line about "+text, func() bool {
			said = log()[before:]
			at := strings.Index(said, "SIGHUP: settings were read again")
			return at >= 0 && strings.Contains(said[at:], "\n")
		})
		return said
	}
	if said := again("log-level: debug\nconnections: 77\n"); !strings.Contains(said, "needs_restart=connections") {
		t.Errorf("a restart that is still wanted is not told: %s", said)
	}
	for range 2 {
		if said := again("log-level: loud\n"); !strings.Contains(said, "is none of debug, info") || strings.Contains(said, "needs_restart") {
			t.Error(said)
		}
	}
	if said := again(""); !strings.Contains(said, "log-level: as by default") {
		t.Error(said)
	}
	again("log-level: debug\n")
	s.get("beta.localhost", "/xrpc/com.atproto.server.describeServer")
	eventually(t, "debug lines", func() bool { return strings.Contains(log(), "level=DEBUG") })
	write("no-setting: 1\n")
	must(t, s.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, "the file's mistake", func() bool { return strings.Contains(log(), "no such setting: no-setting") })

	// Asked to end it says so first, and still answers.
	must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	becomes(t, public, "/readyz", http.StatusServiceUnavailable)
	if _, body := admin("/readyz"); !strings.Contains(body, `"part":"draining"`) {
		t.Error(body)
	}
	if code, body := s.get("beta.localhost", "/xrpc/_health"); code != http.StatusOK {
		t.Error(code, body)
	}
	answer, err := http.Get("http://127.0.0.1:" + s.port + "/livez")
	must(t, err)
	if _ = answer.Body.Close(); !answer.Close {
		t.Error("a connection is kept while the process drains")
	}
	eventually(t, "STOPPING", func() bool { return systemd.count("STOPPING=1") == 1 })
	must(t, s.cmd.Process.Signal(syscall.SIGTERM)) // at once
	if err := <-s.done; err == nil {
		t.Error("a second signal does not end the process at once")
	}
}

// TestDraining: after the delay the server's context ends, and not before readiness has said so.
func TestDraining(t *testing.T) {
	s := &serving{health: newHealth(), who: &supervisor{}, log: slog.New(slog.DiscardHandler)}
	s.health.enters(unready{})
	asked, ask := context.WithCancel(t.Context())
	ctx, stop := s.draining(asked, time.Millisecond)
	defer stop()
	if s.health.look(ctx) != (unready{}) || ctx.Err() != nil {
		t.Error("it drains though nobody asked")
	}
	ask()
	<-ctx.Done()
	if got := s.health.look(t.Context()); got != phaseDraining {
		t.Error(got)
	}
}

// TestReadiness: the first part that fails is named; answers are used again, and only reads are answered.
func TestReadiness(t *testing.T) {
	h, asked := newHealth(), 0
	if got := h.look(t.Context()); got.part != "starting" {
		t.Error(got)
	}
	down := errors.New("down")
	var err error
	h.needs("database", "away", time.Hour, func(context.Context) error { asked++; return err })
	h.needs("master key", "another", 0, func(context.Context) error { return down })
	h.enters(unready{})
	for range 3 {
		if got := h.look(t.Context()); got.part != "master key" {
			t.Error(got)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	w := httptest.NewRecorder()
	h.over(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("POST", "/readyz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
}

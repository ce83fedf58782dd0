package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/embedded"
	"github.com/jackc/pgx/v5"
)

// childEnv makes this program a process that starts a server in the folder, says so, and waits to be killed.
const childEnv = "LOCUS_EMBEDDED_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		s, err := embedded.Start(context.Background(), dir, discard())
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("ready", s.Pid())
		select {}
	}
	os.Exit(m.Run())
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// folder makes a short-named folder that other users may pass through.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "locus-emb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string, opts ...embedded.Option) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), dir, discard(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *embedded.Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var out string
	if err := conn.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func TestSecondStartFindsTheData(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "", "server_encoding": "UTF8"} {
		if got := query(t, s.URL, "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	execute(t, s.URL, "CREATE TABLE public.kept AS SELECT 'yes'::text AS v")

	if found, ok := embedded.Find(dir); !ok || found != s.URL {
		t.Errorf("Find gives %q, %v; want %q", found, ok, s.URL)
	}
	if _, err := embedded.Start(t.Context(), dir, discard()); !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second start of a running folder: %v", err)
	}
	stop(t, s)
	if _, ok := embedded.Find(dir); ok {
		t.Error("Find finds a stopped server")
	}
	if alive(s.Pid()) {
		t.Error("the server outlives Stop")
	}

	s = start(t, dir)
	if got := query(t, s.URL, "SELECT v FROM public.kept"); got != "yes" {
		t.Errorf("kept: %q", got)
	}
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in two minutes: " + what)
		}
	}
}

// The process that started the server is killed: the server goes too, and the next start finds the data.
func TestDiesWithItsParent(t *testing.T) {
	dir := folder(t)
	child, pid := child(t, dir)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // "signal: killed"
	s := start(t, dir)
	eventually(t, "the killed process's server is gone", func() bool { return !alive(pid) || pid == s.Pid() })
	if got := query(t, s.URL, "SELECT 'yes'"); got != "yes" {
		t.Error(got)
	}
}

func child(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // may have ended
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	number, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	pid, err := strconv.Atoi(number)
	if !ok || err != nil {
		t.Fatal(line)
	}
	return cmd, pid
}

// An orphaned server (there is no parent-death signal everywhere) is ended by the next start.
func TestOrphanIsEnded(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	url := s.URL
	execute(t, url, "CREATE TABLE public.kept AS SELECT 'yes'::text AS v")
	stop(t, s)

	orphan := orphanPostmaster(t, dir)
	s = start(t, dir)
	if alive(orphan) {
		t.Error("the orphan still runs")
	}
	if got := query(t, s.URL, "SELECT v FROM public.kept"); got != "yes" {
		t.Error(got)
	}
}

// orphanPostmaster runs a server on the folder's data which nobody looks after.
func orphanPostmaster(t *testing.T, dir string) int {
	t.Helper()
	bin, err := embedded.FindBinaries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "pgdata")
	cmd := exec.Command(filepath.Join(bin.Dir, "postgres"), "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+filepath.Join(dir, "run"))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // if the test failed
	eventually(t, "the orphan's pid file", func() bool {
		text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		return err == nil && strings.Contains(string(text), "ready")
	})
	return cmd.Process.Pid
}

// A pid file whose number another process has by now does not stop a start.
func TestStalePidFile(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	stop(t, s)
	pidFile := filepath.Join(dir, "pgdata", "postmaster.pid")
	if err := os.WriteFile(pidFile, []byte(fmt.Sprintf("%d\n%s\n1\n5432\n%s\n\n 0 0\nready\n", os.Getpid(), filepath.Join(dir, "pgdata"), filepath.Join(dir, "run"))), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
}

// A crash in the middle of initdb leaves nothing that stops the next start.
func TestUnfinishedInitdb(t *testing.T) {
	dir := folder(t)
	making := filepath.Join(dir, "pgdata.making")
	if err := os.MkdirAll(making, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(making, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
}

// A server that is killed comes back by itself with what it had acknowledged.
func TestComesBackAfterKill(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	execute(t, s.URL, "CREATE TABLE public.kept AS SELECT 'yes'::text AS v")
	first := s.Pid()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server is back", func() bool {
		conn, err := pgx.Connect(t.Context(), s.URL)
		if err != nil {
			return false
		}
		conn.Close(t.Context())
		return true
	})
	if s.Pid() == first {
		t.Error("the same process")
	}
	if got := query(t, s.URL, "SELECT v FROM public.kept"); got != "yes" {
		t.Error(got)
	}
}

// A deep folder's socket goes elsewhere, since a socket's path is short.
func TestDeepFolder(t *testing.T) {
	dir := filepath.Join(folder(t), strings.Repeat("deep/", 30))
	s := start(t, dir)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	socket := u.Query().Get("host")
	if strings.HasPrefix(socket, dir) || len(socket) > 100 {
		t.Errorf("socket in %s", socket)
	}
	t.Cleanup(func() { _ = os.RemoveAll(socket) })
	if got := query(t, s.URL, "SELECT 'yes'"); got != "yes" {
		t.Error(got)
	}
}

// Root's own folder, closed to everybody else: the server runs in a user namespace, or the error says what to do.
func TestClosedFolder(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: every folder is our own")
		return
	}
	dir := folder(t)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start takes the same way
		s, err := embedded.Start(t.Context(), filepath.Join(dir, "db"), discard())
		if err != nil {
			if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "choose a folder") {
				t.Errorf("unclear: %v", err)
			}
			t.Log("no user namespaces here:", err)
			return
		}
		if got := query(t, s.URL, "SELECT 'yes'"); got != "yes" {
			t.Error(got)
		}
		stop(t, s)
	}
}

// Started and ended by a canceled context: nothing is left running or locked.
func TestCanceledStart(t *testing.T) {
	dir := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := embedded.Start(ctx, dir, discard()); err == nil {
		t.Fatal("a canceled start succeeds")
	}
	start(t, dir)
}

func TestNoBinaries(t *testing.T) {
	t.Setenv("LOCUS_PG_BIN", t.TempDir())
	_, err := embedded.FindBinaries(t.Context())
	if err == nil || !strings.Contains(err.Error(), "LOCUS_PG_BIN") || !strings.Contains(err.Error(), "initdb") {
		t.Errorf("%v", err)
	}
}

// Binaries of another version than the data's are refused by name.
func TestOtherVersion(t *testing.T) {
	dir := folder(t)
	if err := os.MkdirAll(filepath.Join(dir, "pgdata"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pgdata", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.Start(t.Context(), dir, discard())
	if err == nil || !strings.Contains(err.Error(), "made by Postgres 9") {
		t.Errorf("%v", err)
	}
}

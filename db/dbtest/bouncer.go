package dbtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bouncerEnv names another program than the pgbouncer of this machine.
const bouncerEnv = "LOCUS_PGBOUNCER_BIN"

// keepsStatements is the version of PgBouncer from which on it can keep its clients' prepared statements.
const keepsStatements = 121

// Bouncer is a PgBouncer of one test's own, in transaction mode.
type Bouncer struct {
	// URL leads through it to the same database as the URL that it was made for.
	URL string
	// Version counts as 121 for 1.21.
	Version int
}

// BouncerKeeps tells whether this machine's PgBouncer can keep prepared statements, and which one it is.
func BouncerKeeps(t testing.TB) (keeps bool, version string) {
	t.Helper()
	_, n, text := bouncerProgram(t)
	return n >= keepsStatements, text
}

// NewBouncer starts a PgBouncer in front of the database of a URL that [URL] gave. prepared is its
// max_prepared_statements; versions that have no such setting take 0 only. settings are further lines of its
// configuration. It ends with the test.
func NewBouncer(t testing.TB, databaseURL string, prepared int, settings ...string) *Bouncer {
	t.Helper()
	program, version, _ := bouncerProgram(t)
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "pgb") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the system cleans /tmp, too
	attr, err := beside(u, dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := append([]string{
		"[databases]", "* = " + toServer(u),
		"[pgbouncer]", "unix_socket_dir = " + dir, "unix_socket_mode = 0777", "listen_addr =", "listen_port = 6432",
		"auth_type = any", "pool_mode = transaction", "default_pool_size = 8", "max_client_conn = 200",
	}, settings...)
	if version >= keepsStatements {
		lines = append(lines, fmt.Sprintf("max_prepared_statements = %d", prepared))
	} else if prepared > 0 {
		t.Fatalf("%s cannot keep prepared statements", program)
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(ini, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	startBouncer(t, program, ini, attr)
	through := url.URL{Scheme: "postgres", User: url.User("locus"), Path: u.Path,
		RawQuery: url.Values{"host": {dir}, "port": {"6432"}, "pgbouncer": {"true"}}.Encode()}
	awaitSocket(t, filepath.Join(dir, ".s.PGSQL.6432"))
	return &Bouncer{URL: through.String(), Version: version}
}

func startBouncer(t testing.TB, program, ini string, attr *syscall.SysProcAttr) {
	t.Helper()
	// It ends when its input does, so also when the test process is killed.
	cmd := osexec.Command("/bin/sh", "-c", `"$0" "$1" & cat >/dev/null; kill -9 $!`, program, ini)
	cmd.SysProcAttr = attr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		_ = cmd.Wait() // ends it the hard way
		if t.Failed() {
			text := said.String()
			t.Logf("pgbouncer said:\n%s", text[max(0, len(text)-4000):])
		}
	})
}

func awaitSocket(t testing.TB, path string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not listen: %v", err)
		}
	}
}

// beside is who PgBouncer runs as: it refuses to be root, and must reach the server's socket.
func beside(server *url.URL, dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	uid, gid := uint32(65534), uint32(65534)
	if socket := server.Query().Get("host"); strings.HasPrefix(socket, "/") {
		info, err := os.Stat(socket)
		if err != nil {
			return nil, err
		}
		st := info.Sys().(*syscall.Stat_t)
		if st.Uid == 0 {
			return nil, fmt.Errorf("the test server's socket in %s is root's, and PgBouncer does not run as root: make %s a folder that others may pass through", socket, base())
		}
		uid, gid = st.Uid, st.Gid
	}
	attr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return attr, os.Chown(dir, int(uid), int(gid))
}

// toServer is how PgBouncer connects.
func toServer(u *url.URL) string {
	q := u.Query()
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = q.Get("host")
	}
	if port == "" {
		port = q.Get("port")
	}
	if port == "" {
		port = "5432"
	}
	s := fmt.Sprintf("host=%s port=%s", host, port)
	user := q.Get("user")
	if u.User != nil {
		user = u.User.Username()
	}
	if user != "" {
		s += " user=" + user
	}
	if password, ok := u.User.Password(); ok {
		s += " password=" + password
	}
	return s
}

type bouncerFound struct {
	path    string
	version int
	text    string
}

var findBouncer = sync.OnceValues(func() (bouncerFound, error) {
	path := os.Getenv(bouncerEnv)
	if path == "" {
		var err error
		if path, err = osexec.LookPath("pgbouncer"); err != nil {
			path = "/usr/sbin/pgbouncer" // not in every user's PATH
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := osexec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return bouncerFound{}, fmt.Errorf("PgBouncer cannot be run: %w\nsh internal/setup/pgbouncer.sh installs it (make test does); %s names another one", err, bouncerEnv)
	}
	m := regexp.MustCompile(`PgBouncer (\d+)\.(\d+)`).FindSubmatch(out)
	if m == nil {
		return bouncerFound{}, fmt.Errorf("%s --version says %q", path, out)
	}
	major, _ := strconv.Atoi(string(m[1])) // digits
	minor, _ := strconv.Atoi(string(m[2])) // digits
	return bouncerFound{path, 100*major + minor, string(m[0])}, nil
})

func bouncerProgram(t testing.TB) (path string, version int, text string) {
	t.Helper()
	found, err := findBouncer()
	if err != nil {
		t.Fatal(err)
	}
	return found.path, found.version, found.text
}

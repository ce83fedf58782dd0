package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/auroralocus/locus/db/embedded"
)

const (
	keeperEnv = "LOCUS_DBTEST_KEEPER" // set in the process that keeps the server: the folder
	idleEnv   = "LOCUS_DBTEST_IDLE"   // how long the server outlives its last user, in place of idleLimit
	idleLimit = 10 * time.Second      // go test compiles between packages
)

// users is held open, with a shared lock on it, for as long as this process lives: the keeper ends the server when it
// gets the lock for itself. The kernel frees it however the process ends.
var users *os.File

// serverURL is the shared server's, started if need be.
var serverURL = sync.OnceValues(func() (string, error) {
	if url := os.Getenv("LOCUS_TEST_DATABASE_URL"); url != "" {
		return url, nil
	}
	dir := filepath.Join(base(), "locus-dbtest-"+strconv.Itoa(os.Getuid()))
	start, err := lockStart(dir)
	if err != nil {
		return "", err
	}
	defer start.Close()
	// Under the start lock the keeper cannot be about to stop: it takes this lock before it decides.
	if users, err = os.OpenFile(filepath.Join(dir, "users"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return "", err
	}
	if err := flock(users, syscall.LOCK_SH); err != nil {
		return "", err
	}
	if url, ok := running(dir); ok {
		return url, nil
	}
	return startKeeper(dir)
})

// base is where the server's folder is: in memory where there is plenty (making a database is 4 times faster there on a
// busy disk), unless TMPDIR says otherwise.
func base() string {
	const memory, enough = "/dev/shm", 4 << 30
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") == "" && syscall.Statfs(memory, &fs) == nil && fs.Bavail*uint64(fs.Bsize) > enough {
		return memory
	}
	return os.TempDir()
}

// lockStart makes us the one that starts, or joins, the server. The keeper removes the folder when it goes, so what we
// waited for may be a file that is no more: then again.
func lockStart(dir string) (*os.File, error) {
	for {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if info, err := os.Lstat(dir); err == nil && (!info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != os.Getuid()) {
			return nil, fmt.Errorf("dbtest: %s is not ours", dir) // somebody else's server would run our tests
		}
		path := filepath.Join(dir, "start")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := flock(f, syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		held, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(held, now) {
			return f, nil
		}
		f.Close()
	}
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// running tells where the server is, if it answers.
func running(dir string) (string, bool) {
	url, err := os.ReadFile(filepath.Join(dir, "url"))
	if err != nil {
		return "", false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return string(url), exec(ctx, string(url), "SELECT 1") == nil
}

// startKeeper runs this very program again as the server's keeper, apart from us: go test must not wait for it.
func startKeeper(dir string) (string, error) {
	if err := os.Remove(filepath.Join(dir, "url")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := osexec.Command(self)
	cmd.Env = append(os.Environ(), keeperEnv+"="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil { // its streams are /dev/null
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if url, err := os.ReadFile(filepath.Join(dir, "url")); err == nil {
			return string(url), nil
		}
		select {
		case err := <-ended:
			why, _ := os.ReadFile(filepath.Join(dir, "error")) // may not have been written
			return "", fmt.Errorf("dbtest: the test server does not start: %w: %s", err, strings.TrimSpace(string(why)))
		default:
		}
	}
	return "", errors.New("dbtest: the test server does not start in 90 seconds")
}

// init turns the program into the keeper before any test of it runs.
func init() {
	dir := os.Getenv(keeperEnv)
	if dir == "" {
		return
	}
	if err := keep(dir); err != nil {
		_ = os.WriteFile(filepath.Join(dir, "error"), []byte(err.Error()), 0o600) // nobody else to tell
		os.Exit(1)
	}
	os.Exit(0)
}

// keep runs the server until it has had no user for a while.
func keep(dir string) error {
	data := filepath.Join(dir, "server")
	if err := os.RemoveAll(data); err != nil { // of a server that was killed: nothing in it is worth keeping
		return err
	}
	server, err := embedded.Start(context.Background(), data, slog.New(slog.NewTextHandler(io.Discard, nil)),
		embedded.Setting("fsync", "off"), embedded.Setting("synchronous_commit", "off"), embedded.Setting("full_page_writes", "off"),
		embedded.Setting("max_connections", "400"), embedded.Setting("shared_buffers", "128MB"), embedded.Setting("max_wal_size", "512MB"))
	if err != nil {
		return err
	}
	url := filepath.Join(dir, "url")
	if err := os.WriteFile(url+".new", []byte(server.URL), 0o600); err != nil {
		return errors.Join(err, server.Stop())
	}
	if err := os.Rename(url+".new", url); err != nil {
		return errors.Join(err, server.Stop())
	}
	start, err := os.OpenFile(filepath.Join(dir, "start"), os.O_RDWR, 0)
	if err != nil {
		return errors.Join(err, server.Stop())
	}
	users, err := os.OpenFile(filepath.Join(dir, "users"), os.O_RDWR, 0)
	if err != nil {
		return errors.Join(err, server.Stop())
	}
	limit := idleLimit
	if d, err := time.ParseDuration(os.Getenv(idleEnv)); err == nil {
		limit = d
	}
	idle := time.Now()
	for {
		time.Sleep(limit / 20)
		if err := flock(start, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			idle = time.Now() // somebody is about to become a user
			continue
		}
		if err := flock(users, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			idle = time.Now()
		}
		if time.Since(idle) > limit {
			// With the start lock held: whoever comes now waits, and then finds nothing.
			return errors.Join(server.Stop(), os.RemoveAll(dir))
		}
		_ = flock(users, syscall.LOCK_UN) // does not fail on an open file
		_ = flock(start, syscall.LOCK_UN)
	}
}

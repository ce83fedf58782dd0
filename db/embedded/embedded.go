// Package embedded runs the private Postgres of a first run: found on the machine, its data under our own folder,
// reachable by a Unix socket only, started and stopped with us.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	user     = "locus"
	database = "locus"

	startLimit = 60 * time.Second // without a sign of life; recovery after a crash takes as long as it takes
	stopLimit  = 5 * time.Minute  // a fast shutdown ends with a checkpoint, which thousands of tenants make long
	tellEvery  = 10 * time.Second // while somebody waits for either
	logLimit   = 10 << 20         // bytes of postgres.log kept at a start
)

// ErrInUse means that another living process runs the server of this folder.
var ErrInUse = errors.New("the database folder is in use")

// Server is a running private Postgres.
type Server struct {
	// URL connects to it, as its superuser.
	URL string

	bin    Binaries
	owner  owner
	data   string
	socket string
	args   []string
	log    *slog.Logger
	lock   *os.File
	logOut *os.File

	stop    chan struct{} // closed by Stop
	stopped chan struct{} // closed when the last postmaster is gone
	ending  sync.Once
	once    bool // see WithoutRestart
	syncing sync.WaitGroup

	mu  sync.Mutex
	pid int
}

// Option changes how Start runs the server.
type Option func(*options)

type options struct {
	settings map[string]string
	once     bool
	primary  string
}

// Setting sets a server parameter, in place of Start's own choice.
func Setting(name, value string) Option {
	return func(o *options) { o.settings[name] = value }
}

// WithoutRestart leaves a server that ends by itself alone; else it is started again.
func WithoutRestart() Option { return func(o *options) { o.once = true } }

// StandbyOf makes a server that has no data yet a streaming standby of another private server, known to it by name.
func StandbyOf(primary *Server, name string) Option {
	return func(o *options) {
		o.primary = fmt.Sprintf("host=%s port=5432 user=%s application_name=%s", primary.socket, user, name)
	}
}

// Start runs the server whose data are under dir, making them first when there are none. It returns when the server
// answers. A folder that a dead process left behind is recovered; one that a living process holds is ErrInUse.
//
// Started as root it gives its rights away, since Postgres refuses them: see chooseOwner.
func Start(ctx context.Context, dir string, log *slog.Logger, opts ...Option) (_ *Server, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	bin, err := FindBinaries(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the database folder: %w", err)
	}
	s := &Server{
		bin: bin, data: filepath.Join(dir, "pgdata"), log: log,
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if s.lock, err = lockFolder(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.lock.Close()
			if s.logOut != nil {
				s.logOut.Close()
			}
		}
	}()
	if s.owner, err = chooseOwner(ctx, bin, s.data); err != nil {
		return nil, err
	}
	if s.socket, err = socketFolder(dir, s.owner); err != nil {
		return nil, err
	}
	if s.logOut, err = openLog(filepath.Join(dir, "postgres.log")); err != nil {
		return nil, err
	}
	o := options{settings: settings(s.socket)}
	for _, opt := range opts {
		opt(&o)
	}
	s.once = o.once
	s.args = []string{"-D", s.data}
	for name, value := range o.settings {
		s.args = append(s.args, "-c", name+"="+value)
	}
	s.URL = socketURL(s.socket)

	fresh, err := s.initialise(ctx, o.primary)
	if err != nil {
		return nil, err
	}
	if err := s.removeOrphan(ctx); err != nil {
		return nil, err
	}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	if fresh {
		s.syncing.Go(s.sync)
	}
	return s, nil
}

// settings are the choices for a small private server. Durability is left alone: fsync, full_page_writes and
// synchronous_commit are on.
func settings(socket string) map[string]string {
	m := map[string]string{
		"listen_addresses":                "",
		"unix_socket_directories":         socket,
		"unix_socket_permissions":         "0700", // trust authentication: the socket's rights are the password
		"port":                            "5432",
		"max_connections":                 "100",
		"shared_buffers":                  "256MB",
		"max_wal_size":                    "2GB", // fewer checkpoints, fewer full-page images
		"checkpoint_timeout":              "15min",
		"random_page_cost":                "1.1",
		"jit":                             "off",
		"max_parallel_workers_per_gather": "0",
		"dynamic_shared_memory_type":      "mmap", // /dev/shm is tiny in containers, and a killed server leaves its files there
		"timezone":                        "UTC",
		"log_timezone":                    "UTC",
		"log_line_prefix":                 "%m [%p] ",
		"log_checkpoints":                 "off",
		// Each look reads the catalogue, which is large where there are many tenants. What is updated again and again is
		// pruned by whoever reads it.
		"autovacuum_naptime": "5min",
	}
	if runtime.GOOS == "linux" {
		m["effective_io_concurrency"] = "200" // refused where there is no posix_fadvise
		// After a crash Postgres brings what lies in its folder to the disk. A thousand tenants are some 150,000 files,
		// and opening each takes minutes.
		m["recovery_init_sync_method"] = "syncfs"
	}
	return m
}

// initialise makes the data folder if there is none: in a folder beside it which is renamed when complete, so that a
// crash in the middle leaves nothing that a later start would take for a database. With a primary it is a copy of that.
func (s *Server) initialise(ctx context.Context, primary string) (fresh bool, err error) {
	if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); err == nil {
		return false, s.checkVersion()
	}
	making := s.data + ".making"
	if err := os.RemoveAll(making); err != nil {
		return false, err
	}
	if err := os.Mkdir(making, 0o700); err != nil {
		return false, err
	}
	if err := s.owner.give(making); err != nil {
		return false, err
	}
	s.log.Info("making a private Postgres database", "folder", s.data, "postgres", s.bin.Dir)
	program, args := "initdb", []string{"--no-sync", "--auth=trust", "--username=" + user, "--encoding=UTF8", "--locale=C", "--pgdata=" + making}
	if primary != "" {
		program, args = "pg_basebackup", []string{"--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--dbname=" + primary, "--pgdata=" + making}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin.Dir, program), args...)
	cmd.Env, cmd.Dir = environment(s.bin.Dir), "/"
	cmd.SysProcAttr = s.owner.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		return false, fmt.Errorf("%s in %s: %w\n%s", program, making, err, out)
	}
	if err := os.Rename(making, s.data); err != nil {
		return false, err
	}
	return primary == "", nil
}

// checkVersion refuses binaries that cannot read the data, by name.
func (s *Server) checkVersion() error {
	text, err := os.ReadFile(filepath.Join(s.data, "PG_VERSION"))
	if err != nil {
		return err
	}
	version, _ := strconv.Atoi(digits.FindString(string(text)))
	if version != s.bin.Version {
		return fmt.Errorf("the database in %s was made by Postgres %d, but %s is version %d: set LOCUS_PG_BIN to version %d",
			s.data, version, s.bin.Dir, s.bin.Version, version)
	}
	return nil
}

// sync puts on disk what initdb --no-sync left to the operating system, while the server is already serving.
func (s *Server) sync() {
	cmd := exec.Command(filepath.Join(s.bin.Dir, "initdb"), "--sync-only", "--pgdata="+s.data)
	cmd.Env, cmd.Dir = environment(s.bin.Dir), "/"
	cmd.SysProcAttr = s.owner.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		select {
		case <-s.stop: // files vanish under a server that is shutting down
		default:
			s.log.Warn("sync of the new database folder failed", "err", err, "output", string(out))
		}
	}
}

// run starts the postmaster, waits until it answers, and leaves a goroutine that starts it again if it dies.
func (s *Server) run(ctx context.Context) error {
	started := make(chan error, 1)
	go s.supervise(ctx, started)
	return <-started
}

func (s *Server) supervise(ctx context.Context, started chan<- error) {
	// Linux sends the parent-death signal when the *thread* that forked ends, so this goroutine keeps one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.stopped)

	for backoff := 100 * time.Millisecond; ; backoff = min(2*backoff, 30*time.Second) {
		cmd, exited, err := s.launch()
		if err == nil {
			err = s.waitReady(ctx, exited)
		}
		if started != nil {
			if err != nil {
				s.end(cmd, exited) // before Start gives the folder free
			}
			started <- err
			if err != nil {
				return
			}
			started, ctx = nil, context.Background() // the caller's context was for the start
		}
		if err == nil {
			backoff = 100 * time.Millisecond
			select {
			case <-s.stop:
			case <-exited:
			}
		}
		select {
		case <-s.stop:
			s.end(cmd, exited)
			return
		default:
		}
		if err != nil {
			s.log.Error("the private Postgres does not start", "err", err)
		} else {
			s.log.Error("the private Postgres ended by itself, starting it again", "state", cmd.ProcessState.String())
		}
		s.end(cmd, exited)
		if s.once {
			return
		}
		select {
		case <-s.stop:
			return
		case <-time.After(backoff):
		}
		if err := s.removeOrphan(ctx); err != nil {
			s.log.Error("recover the private Postgres", "err", err)
		}
	}
}

func (s *Server) launch() (*exec.Cmd, chan struct{}, error) {
	cmd := exec.Command(filepath.Join(s.bin.Dir, "postgres"), s.args...)
	cmd.Env, cmd.Dir = environment(s.bin.Dir), "/"
	cmd.SysProcAttr = s.owner.attr()
	cmd.SysProcAttr.Setsid = true // Ctrl-C reaches us alone: we drain first, then stop it
	dieWithParent(cmd.SysProcAttr)
	cmd.Stdout, cmd.Stderr = s.logOut, s.logOut
	exited := make(chan struct{})
	if err := cmd.Start(); err != nil {
		close(exited)
		return cmd, exited, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s.mu.Lock()
	s.pid = cmd.Process.Pid
	s.mu.Unlock()
	go func() {
		_ = cmd.Wait() // its state is read from cmd.ProcessState
		close(exited)
	}()
	return cmd, exited, nil
}

// waitReady returns when the server answers, and makes our database in it when it is new. A server that says it is starting
// repairs what a crash left, and is waited for.
func (s *Server) waitReady(ctx context.Context, exited <-chan struct{}) error {
	began := time.Now()
	alive, told := began, began
	for {
		try, cancel := context.WithDeadline(ctx, alive.Add(startLimit))
		err := s.greet(try)
		cancel()
		if err == nil {
			return nil
		}
		now := time.Now()
		var pe *pgconn.PgError
		if errors.As(err, &pe) && pe.Code == cannotConnectNow {
			alive = now
			if now.Sub(told) > tellEvery {
				told = now
				s.log.Info("the private Postgres recovers what it had not finished; waiting", "since", now.Sub(began).Round(time.Second).String())
			}
		}
		select {
		case <-exited:
			return fmt.Errorf("postgres ended while starting; the end of its log:\n%s", s.logTail())
		case <-s.stop:
			return errors.New("stopped while starting")
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w (%w)", err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
		if now.Sub(alive) > startLimit {
			return fmt.Errorf("postgres has said nothing for %s: %w", startLimit, err)
		}
	}
}

// cannotConnectNow is what a server answers that is starting or ending: https://www.postgresql.org/docs/current/errcodes-appendix.html
const cannotConnectNow = "57P03"

func (s *Server) greet(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=5432 user=%s dbname=postgres", s.socket, user))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&there); err != nil || there {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
	return err
}

// Pid is the process id of the server, for those who measure it.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// Kill ends all the server's processes as a crash of the machine would, for tests of what survives one.
func (s *Server) Kill() error {
	pids := append([]int{s.Pid()}, running(s.Pid(), s.data)...)
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill %d: %w", pid, err)
		}
	}
	if s.once {
		<-s.stopped
	}
	return nil
}

// Stop ends the server cleanly: connections are cut, a checkpoint is written.
func (s *Server) Stop() error {
	s.ending.Do(func() {
		close(s.stop)
		<-s.stopped
		s.syncing.Wait()
		s.logOut.Close()
		s.lock.Close()
	})
	return nil
}

// end makes sure that the process is gone: politely, then less so.
func (s *Server) end(cmd *exec.Cmd, exited <-chan struct{}) {
	if cmd.Process == nil {
		return
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, stopLimit}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		_ = cmd.Process.Signal(step.signal) // an error means that it has ended
		for left := step.wait; left > 0; left -= tellEvery {
			select {
			case <-exited:
				return
			case <-time.After(min(left, tellEvery)):
				s.log.Warn("the private Postgres is slow to stop: it writes what is in memory to the disk", "sent", step.signal.String())
			}
		}
	}
}

// logTail is the end of postgres.log, for error messages.
func (s *Server) logTail() string {
	const limit = 2000
	f, err := os.Open(s.logOut.Name())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		_, _ = f.Seek(-limit, io.SeekEnd) // at worst the message is long
	}
	text, _ := io.ReadAll(f)
	return string(text)
}

func openLog(path string) (*os.File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(path, flags, 0o600)
}

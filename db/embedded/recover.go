package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockFolder makes us the folder's only process. The kernel frees the lock when we die, however we die.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the database folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder := make([]byte, 20)
		n, _ := f.Read(holder) // only for the message
		return nil, fmt.Errorf("%w: process %s runs the database in %s", ErrInUse, strings.TrimSpace(string(holder[:n])), dir)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// removeOrphan ends what outlived the process that started it: a whole server, or the last backends of a killed one. We
// hold the folder's lock, so whatever runs in it is nobody's.
//
// The pid file of a dead server stays, since Postgres finds with it the shared memory of backends that we may have
// missed. It goes only when its number belongs to an unrelated process by now: then Postgres would refuse to start.
func (s *Server) removeOrphan(ctx context.Context) error {
	path := filepath.Join(s.data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the server's pid file: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	left := running(pid, s.data)
	if len(left) > 0 {
		s.log.Warn("ending the Postgres that an earlier run left behind", "pids", left)
	}
	signal, deadline := syscall.SIGINT, time.Now().Add(stopLimit)
	for ; len(left) > 0; left = running(pid, s.data) {
		if time.Now().After(deadline) {
			if signal == syscall.SIGKILL {
				return fmt.Errorf("the orphaned Postgres processes %v do not end", left)
			}
			signal, deadline = nextSignal(signal), time.Now().Add(5*time.Second)
		}
		for _, p := range left {
			if signal == syscall.SIGINT && p != pid {
				continue // to a backend this is "cancel the query"; without its postmaster it ends by itself
			}
			if err := syscall.Kill(p, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end the orphaned Postgres %d: %w", p, err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	if _, err := os.Stat(path); err == nil && pid > 0 && syscall.Kill(pid, 0) == nil {
		s.log.Warn("removing the pid file of a Postgres that is gone: its number is another process's now", "pid", pid)
		for _, p := range []string{path, filepath.Join(s.socket, ".s.PGSQL.5432.lock")} {
			if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func nextSignal(s syscall.Signal) syscall.Signal {
	if s == syscall.SIGINT {
		return syscall.SIGQUIT
	}
	return syscall.SIGKILL
}

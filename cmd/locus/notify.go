package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// supervisor is who started this process and wants to hear how it is: systemd's protocol, a datagram of NAME=value
// lines to the socket that NOTIFY_SOCKET names. Its methods do nothing where nobody wants to hear.
// It is as sd_notify(3) has it.
type supervisor struct {
	conn  net.Conn
	every time.Duration // between two signs of life; 0: none are wanted
}

// findSupervisor reads the environment, and takes the socket out of it: children are not this process.
func findSupervisor() (*supervisor, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return &supervisor{}, nil
	}
	_ = os.Unsetenv("NOTIFY_SOCKET")
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return &supervisor{}, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	s := &supervisor{conn: conn}
	if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if within, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && within > 0 {
			s.every = time.Duration(within) * time.Microsecond / 2
		}
	}
	return s, nil
}

// tell sends lines. Nothing can be done about a supervisor that does not listen.
func (s *supervisor) tell(lines ...string) {
	if s.conn != nil {
		_, _ = s.conn.Write([]byte(strings.Join(lines, "\n")))
	}
}

func (s *supervisor) ready(status string)   { s.tell("READY=1", "STATUS="+status) }
func (s *supervisor) status(what string)    { s.tell("STATUS=" + what) }
func (s *supervisor) stopping(why string)   { s.tell("STOPPING=1", "STATUS="+why) }
func (s *supervisor) reloading(what string) { s.tell("RELOADING=1", monotonic(), "STATUS="+what) }

// live sends signs of life until ctx ends. Each is sent only after alive has returned: a process that hangs there is
// started anew.
func (s *supervisor) live(ctx context.Context, alive func()) {
	if s.conn == nil || s.every <= 0 {
		return
	}
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		alive()
		s.tell("WATCHDOG=1")
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

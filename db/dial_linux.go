package db

import (
	"strings"
	"syscall"
	"time"
)

// unacknowledged is how long the other side may leave what was sent without a sign of life.
const unacknowledged = 30 * time.Second

// giveUpUnacknowledged has the kernel end a connection into a network that drops everything; keep-alive does not count
// while something that was sent waits.
func giveUpUnacknowledged(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	const userTimeout = 18 // TCP_USER_TIMEOUT
	var err error
	if e := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout, int(unacknowledged.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}

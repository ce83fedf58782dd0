//go:build linux || darwin

package inbound

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// lessUnsent bounds what the kernel takes for a connection before the network does. Without it a write may end at once
// for megabytes that nobody reads, and the next one wait for minutes. What is on its way to the client is not bounded
// by it, so a fast one far away stays fast.
func lessUnsent(c net.Conn) {
	raw, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if control, err := raw.SyscallConn(); err == nil {
		_ = control.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) // only a bound
		})
	}
}

//go:build !linux && !darwin

package inbound

import "net"

// lessUnsent is for systems that know such a bound.
func lessUnsent(net.Conn) {}

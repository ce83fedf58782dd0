// Package outbound is the only way out of the process over HTTP: clients that check the address of every connection
// ([New]), and reading an answer within a limit.
//
// Addresses come from strangers (DIDs, handles, documents, relays), so a client reaches public addresses only. The
// operator may name inside hosts besides ([ParsePrivate]); nobody else can.
package outbound

import "errors"

// Errors of requests.
var (
	// ErrUnsafeAddress: not a public address, or a port or scheme that is not allowed.
	ErrUnsafeAddress = errors.New("address is not allowed")
	// ErrTooBig: the answer is longer than the caller takes.
	ErrTooBig = errors.New("response is too big")
	// ErrStatus: the answer is not a 200; redirects are not followed.
	ErrStatus = errors.New("unexpected HTTP status")
	// ErrPrivate: a list of private hosts cannot be read.
	ErrPrivate = errors.New("a list of HOST:PORT and networks (10.1.0.0/16)")
)

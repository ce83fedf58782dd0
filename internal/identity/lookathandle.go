package identity

import (
	"context"
	"errors"
	"sync"
)

// HandleSight is what was seen of a handle, by each of the two ways that it may lead to a DID.
type HandleSight struct {
	DNS, HTTP HandleAnswer
}

// HandleAnswer is one way's: a DID, or why there is none.
type HandleAnswer struct {
	DID string
	Err error
}

// Why a handle that was looked at leads nowhere, beside [ErrHandleNotFound]: for who sets it up.
var (
	// ErrHandleNoDID: something is there, and it is no DID.
	ErrHandleNoDID = errors.New("no DID")
	// ErrHandleSeveral: DNS names different ones.
	ErrHandleSeveral = errors.New("several DIDs")
)

// HandleStatusError: the host answered with another status than 200.
type HandleStatusError struct {
	Status int
	err    error
}

func (e *HandleStatusError) Error() string { return e.err.Error() }
func (e *HandleStatusError) Unwrap() error { return e.err }

// LookAtHandle asks both ways and waits for both, where [Resolver.RefreshHandle] takes the first that counts: for
// somebody who is setting a handle up and wants to know what others see. Errors: [ErrHandleSyntax], and the asker's.
// spec: handle#handle-resolution
func (r *Resolver) LookAtHandle(ctx context.Context, who Asker, handle string) (HandleSight, error) {
	var seen HandleSight
	h, err := NormalizeHandle(handle)
	if err != nil {
		return seen, err
	}
	if err := who.charge(); err != nil {
		return seen, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() { seen.HTTP.DID, seen.HTTP.Err = r.handleByHTTP(ctx, h) })
	seen.DNS.DID, seen.DNS.Err = r.handleByDNS(ctx, h)
	both.Wait()
	return seen, nil
}

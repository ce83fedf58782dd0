package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// soon is how far ahead a process remembers by itself when a tenant's mail is due: what is later, it is told of.
	soon = 30 * time.Second
	// sharedSenders is how many tenants' mail a process hands to the deployment's server at once, ownSenders how many
	// tenants' own servers it speaks to. They are counted apart and the latter are many: servers that do not answer,
	// each for as long as a session may take, hold up neither the deployment's nor each other's tenants.
	sharedSenders = 8
	ownSenders    = 64
)

// Run sends mail until the context ends, and then finishes what it has begun. It is told whose: by [Outbox.Wake], and by
// [Outbox.Due] of what another process left.
func (o *Outbox) Run(ctx context.Context) error {
	r := &run{o: o, ctx: ctx, shared: make(chan struct{}, sharedSenders), own: make(chan struct{}, ownSenders), busy: map[int64]bool{}}
	defer r.wait()
	o.count(1)
	defer o.count(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-o.wake:
			r.start(id)
		}
	}
}

// Due has this process send what a tenant has due, and says when to look at the tenant again; the zero time: there is no
// mail. As long as there is some, somebody looks: whoever sends it may die.
func (o *Outbox) Due(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
	next, err := o.db.Tenant(t.Schema).Q().GetNextMailDue(ctx)
	switch {
	case db.IsNoRows(err):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("look for mail of %s: %w", t.Hostname, err)
	case next.After(o.now()):
		return next, nil
	}
	select {
	case o.wake <- t.ID:
		return o.now().Add(claimTime / 2), nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// promise has some process look at a tenant's mail then.
func (o *Outbox) promise(s db.Schema, at time.Time) {
	if o.cfg.Promise != nil {
		o.cfg.Promise(s, at)
	}
}

func (o *Outbox) count(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running += n
}

// run is the state of one Run.
type run struct {
	o           *Outbox
	ctx         context.Context
	shared, own chan struct{} // places, of both kinds of servers

	mu    sync.Mutex
	busy  map[int64]bool // tenants that are being served; true: look again afterwards
	going sync.WaitGroup
}

func (r *run) wait() { r.going.Wait() }

// startAt looks at a tenant again when its mail is due.
func (r *run) startAt(id int64, due time.Time) {
	t, err := r.o.tenants.ByID(r.ctx, id)
	if err != nil {
		return
	}
	wait := due.Sub(r.o.now())
	if wait >= soon {
		r.o.promise(t.Schema, due)
		return
	}
	r.o.promise(t.Schema, due.Add(soon/2)) // this process may end before
	time.AfterFunc(max(wait, 0), func() {
		select {
		case r.o.wake <- id:
		default:
		}
	})
}

// start serves a tenant in the background, once at a time.
func (r *run) start(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.busy[id]; ok {
		r.busy[id] = true
		return
	}
	r.busy[id] = false
	r.o.counts.tenants.Add(1)
	r.going.Go(func() {
		defer r.o.counts.tenants.Add(-1)
		r.serve(id)
	})
}

// deliver sends some of what a tenant has due, when there is a place for its mail server. For the rest it stands behind
// the other tenants that wait for a place.
func (r *run) deliver(id int64) (next time.Time, more bool, err error) {
	t, err := r.o.tenants.ByID(r.ctx, id)
	if err != nil {
		return time.Time{}, false, err
	}
	server, err := r.o.ownServer(r.ctx, t)
	if err != nil {
		return time.Time{}, false, err
	}
	places := r.own
	if server.IsZero() {
		places = r.shared
	}
	select {
	case places <- struct{}{}:
	case <-r.ctx.Done():
		return time.Time{}, false, nil
	}
	defer func() { <-places }()
	if t, err = r.o.tenants.ByID(r.ctx, id); err != nil || t.State != tenant.Active { // as it is by now
		return time.Time{}, false, err
	}
	return r.o.deliverSome(r.ctx, t)
}

func (r *run) serve(id int64) {
	for {
		due, more, err := r.deliver(id)
		if err != nil && r.ctx.Err() == nil && !db.IsUnavailable(err) {
			r.o.log.Warn("deliver mail", "err", err)
		}
		r.mu.Lock()
		again := (r.busy[id] || more && err == nil) && r.ctx.Err() == nil
		if again {
			r.busy[id] = false
		} else {
			delete(r.busy, id)
		}
		r.mu.Unlock()
		if !due.IsZero() {
			r.startAt(id, due)
		}
		if !again {
			return
		}
	}
}

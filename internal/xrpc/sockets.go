package xrpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/tenant"
)

// Limits of sockets.
const (
	PingEvery     = 45 * time.Second
	pongWithin    = 60 * time.Second // after a ping; anything heard counts
	socketWrite   = 30 * time.Second // a batch of messages must be taken within it
	socketBuffer  = 256 << 10        // bytes the kernel holds for one consumer
	KeepEvery     = 500 * time.Millisecond
	pingLook      = 2 * time.Second // how often it is looked whose ping is due
	closeWithin   = 8 * time.Second // all sockets, at shutdown
	farewellWrite = 2 * time.Second
)

// Why a socket is closed.
var (
	ErrGoingDown = errors.New("server is shutting down")
	errSuspended = errors.New("tenant is not served any more")
	errRenamed   = errors.New("tenant has another name now")
	errNoPong    = errors.New("no pong")
	errPeerGone  = errors.New("peer has gone")
)

// Sockets knows every open socket: http.Server forgets a connection that was upgraded, so it neither waits for it nor
// closes it.
type Sockets struct {
	tenants *tenant.Registry // nil: tenants do not change
	proxies inbound.Proxies
	now     func() time.Time
	door    *fair.Door
	// standing is what is to become of a stream when its tenant is suspended or deleted.
	standing func(Visitor) Standing

	mu     sync.Mutex
	open   map[*Socket]struct{}
	tenant map[int64]int
	from   map[network]int
	places *fair.Places // of the process
	closed bool
	done   chan struct{} // closed when the last one has gone after close

	// What the last rounds looked at, so that ten thousand sockets of which nothing is new cost a round nothing.
	edition tenant.Edition // of the tenants by which all open sockets were judged; zero: not all were
	pings   time.Time      // when it was last looked whom to ping
}

func newSockets(tenants *tenant.Registry, proxies inbound.Proxies, door *fair.Door, now func() time.Time) *Sockets {
	return &Sockets{tenants: tenants, proxies: proxies, now: now, door: door, open: map[*Socket]struct{}{}, tenant: map[int64]int{}, from: map[network]int{}, places: fair.NewPlaces(maxSockets, fair.Waiting{}), done: make(chan struct{})}
}

// maxSockets is how many subscribers a process has at most, of all tenants; one tenant never has the last of them.
const maxSockets = 20_000

// widerNetwork is how many times as many subscribers as an address may come from one IPv6 network of 48 bits.
const widerNetwork = 4

// network is where a tenant's subscribers are counted: an address, of IPv6 its networks of 64 and of 48 bits. Each tenant
// counts its own, so that a relay may follow any number of tenants.
type network struct {
	tenant int64
	prefix netip.Prefix
}

// networks are those of an address, with how many subscribers each may have.
func networks(tenant int64, a netip.Addr, perAddress int) map[network]int {
	out := map[network]int{}
	all := fair.Networks(a)
	for i, p := range all {
		most := perAddress
		if i < len(all)-1 {
			most *= widerNetwork
		}
		out[network{tenant, p}] = most
	}
	return out
}

// Admit counts a new socket, or says why there may be none.
func (s *Sockets) Admit(v Visitor) (*Socket, error) {
	most, perAddress := v.Tenant.Settings.FirehoseSubscribersMax, v.Tenant.Settings.FirehoseSubscribersPerAddress
	k := &Socket{set: s, tenant: v.Tenant.ID, schema: v.Tenant.Schema.String(), Kick: make(chan struct{}, 1)}
	if used := v.state.used; used != nil {
		t, now := v.Tenant, s.now
		k.sent = func(bytes int64) { used(t, 0, bytes, now()) }
	}
	if s.standing != nil {
		k.standing = s.standing(v)
	}
	k.host = v.Called().Hostname
	var from map[network]int
	if a := v.Addr(); a.IsValid() && !s.proxies.Trusts(a) { // else a neighbour: a proxy that does not say for whom, or the operator's own
		from = networks(k.tenant, a, perAddress)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, Refuse(http.StatusServiceUnavailable, "", "This server is shutting down")
	case s.tenant[k.tenant] >= most:
		return nil, Refuse(http.StatusServiceUnavailable, "", "There are %d subscribers already", most)
	}
	for n, most := range from {
		if s.from[n] >= most {
			return nil, Refuse(http.StatusTooManyRequests, "", "There are %d subscribers at your address already", most)
		}
	}
	if k.place = s.places.Try(v.Tenant.Schema.String()); k.place == nil {
		return nil, Refuse(http.StatusServiceUnavailable, "", "This server has as many subscribers as it can have")
	}
	k.Context, k.cancel = context.WithCancelCause(context.Background())
	k.heard.Store(s.now().UnixNano())
	k.pinged = s.now()
	s.open[k] = struct{}{}
	s.edition = tenant.Edition{} // it was let in by an edition that may be over
	s.tenant[k.tenant]++
	for n := range from {
		k.from = append(k.from, n)
		s.from[n]++
	}
	return k, nil
}

// Leave forgets a socket.
func (s *Sockets) Leave(k *Socket) {
	k.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, k)
	if s.tenant[k.tenant]--; s.tenant[k.tenant] == 0 {
		delete(s.tenant, k.tenant)
	}
	for _, n := range k.from {
		if s.from[n]--; s.from[n] == 0 {
			delete(s.from, n)
		}
	}
	k.place.Release()
	if s.closed && len(s.open) == 0 {
		close(s.done)
	}
}

// keep pings, ends what does not answer, and ends the sockets of tenants that are served no longer. When ctx ends all
// sockets are closed with a code, and it returns when they have gone, or after closeWithin.
func (s *Sockets) keep(ctx context.Context) error {
	tick := time.NewTicker(KeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.close()
		case <-tick.C:
			s.round(ctx)
		}
	}
}

func (s *Sockets) round(ctx context.Context) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tenants != nil {
		if edition := s.tenants.Edition(); edition != s.edition {
			s.judge(ctx)
			s.edition = edition
		}
	}
	if since := now.Sub(s.pings); since >= 0 && since < pingLook {
		return
	}
	s.pings = now
	for k := range s.open {
		quiet := now.Sub(time.Unix(0, k.heard.Load()))
		switch {
		case quiet > PingEvery+pongWithin:
			k.End(errNoPong)
		case now.Sub(k.pinged) >= PingEvery:
			k.pinged = now
			k.ping.Store(true)
			k.nudge()
		}
	}
}

// judge ends the sockets of tenants that are not served any more, or have another name.
func (s *Sockets) judge(ctx context.Context) {
	gone, are := map[int64]bool{}, map[int64]*tenant.Tenant{}
	for id := range s.tenant {
		t, err := s.tenants.ByID(ctx, id)
		gone[id] = errors.Is(err, tenant.ErrNotFound)
		if err == nil {
			are[id] = t
		}
	}
	for k := range s.open {
		switch {
		case gone[k.tenant] || !k.lasts(are[k.tenant]):
			k.End(errSuspended)
		case k.left(are[k.tenant]):
			k.End(errRenamed)
		}
	}
}

// lasts says whether a socket goes on with its tenant as it is now; nil: nobody knows.
func (k *Socket) lasts(t *tenant.Tenant) bool {
	return t == nil || t.HasStream() && k.standing.in(t.State) == Serves
}

// left says whether a socket was opened under a name that the tenant has left.
func (k *Socket) left(t *tenant.Tenant) bool {
	if t == nil || k.host == t.Hostname {
		return false
	}
	f, ok := t.Was(k.host)
	return !ok || !f.Since.IsZero()
}

// close ends all sockets and waits for them.
func (s *Sockets) close() error {
	s.mu.Lock()
	s.closed = true
	for k := range s.open {
		k.End(ErrGoingDown)
	}
	n := len(s.open)
	s.mu.Unlock()
	if n == 0 {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(closeWithin):
		return fmt.Errorf("subscribers did not go in %s", closeWithin)
	}
}

// SocketStats says how many sockets are open, of how many.
func (s *Server) SocketStats() fair.Stats { return s.sockets.places.Stats() }

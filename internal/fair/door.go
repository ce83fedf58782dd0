package fair

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Door is where requests come in to work. While nobody is in another's way it only counts who is at work. When several
// tenants are here, and work gets a processor late, it lets fewer of each tenant's requests work at a time, so that those
// of a tenant that has few are served at once: what would keep all processors busy waits outside, where it costs nothing.
//
// How late work is, it finds out by itself: see [Door.Run]. While it is late the number is halved, again and again, down
// to one for every two processors, which those share who want more; then it grows slowly. A tenant that is alone is not
// bound.
//
// A place counts for a moment only. Who has had one for longer waits for something else, for a slow client, another
// service or the database, and must not keep others of its tenant out.
type Door struct {
	processors int
	alarm      chan struct{} // wakes Run

	mu      sync.Mutex
	level   int // how many of a tenant may be at work; 0: any number
	tenants map[string]*atWork
	sweepAt int       // when there are so many it is looked who has gone
	awake   bool      // Run looks how late work is
	most    int       // the most of one tenant that were at work since the last judgement
	crowded time.Time // when a tenant had more at work than there are processors
	changed time.Time // when the level was
	inside  int       // of all tenants
	waiting int
	refused int64
}

const (
	doorStay  = 10 * time.Millisecond // how long a place counts
	doorQueue = 1000                  // requests of one tenant that may wait
	doorWait  = 10 * time.Second      // how long
	doorHere  = 2 * time.Second       // how long a tenant is here after a request
	doorRaise = 2 * time.Second
	doorMost  = 1024 // beyond this level none is needed
	// doorSend is what one time of sending to a subscriber counts at most: one that waits for a slow reader takes no
	// processor.
	doorSend = time.Millisecond
)

// atWork are a tenant's requests.
type atWork struct {
	inside         int
	last           time.Time // when one came
	oldest, newest *Stay     // of those inside, as they came in

	requests int           // that wait
	lines    []*line       // theirs, by address; the first one's turn it is
	streams  line          // what waits to be sent to subscribers
	credit   time.Duration // for how long may be sent until the next beat
}

// line are those of one address that wait, the longest waiting first.
type line struct {
	key string
	all []*Stay
}

// Stay is a request's at work. The nil pointer is nobody's, and can be left.
type Stay struct {
	door       *Door
	of         *atWork
	since      time.Time // when it came in, or to wait
	line       *line     // in which it waits; nil: in none
	inside     bool
	stream     bool
	prev, next *Stay
	ready      chan struct{} // closed when one that waited is inside
}

// NewDoor is a door for so many processors.
func NewDoor(processors int) *Door {
	return &Door{processors: max(1, processors), tenants: map[string]*atWork{}, alarm: make(chan struct{}, 1)}
}

// Knock is of a request that has come, and is not let in yet.
func (d *Door) Knock() *Stay { return &Stay{door: d} }

type stayKey struct{}

// With has a context know the stay, for [Aside].
func With(ctx context.Context, s *Stay) context.Context { return context.WithValue(ctx, stayKey{}, s) }

// Aside gives up the place of the request that ctx is of: from here on it waits for something else, and has little work
// left when that is there.
func Aside(ctx context.Context) {
	s, _ := ctx.Value(stayKey{}).(*Stay)
	s.Leave()
}

// Enter lets a request in, when it may be at work. Of those of a tenant that wait, addresses take turns. Errors:
// [ErrNoPlace], when too many wait or none came in time, and ctx's.
func (s *Stay) Enter(ctx context.Context, path Path) error {
	d, now := s.door, time.Now()
	d.mu.Lock()
	s.of = d.find(path[0], now)
	if s.try(now) {
		d.mu.Unlock()
		return nil
	}
	if s.of.requests >= doorQueue {
		d.refused++
		d.mu.Unlock()
		return ErrNoPlace
	}
	s.wait(s.of.lineOf(path[len(path)-1]), now)
	d.mu.Unlock()
	late := time.NewTimer(doorWait)
	defer late.Stop()
	err := ErrNoPlace
	select {
	case <-s.ready:
		return nil
	case <-late.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.stop() {
		return nil // it came in meanwhile
	}
	if err == ErrNoPlace {
		d.refused++
	}
	return err
}

// Stream lets in what is sent to a subscriber of a tenant. It waits as long as it takes; without a place only when ctx has
// ended.
//
// While fewer are let in, a tenant may send for a part of the time only, and so sends more at a time.
func (d *Door) Stream(ctx context.Context, tenant string) *Stay {
	s, now := &Stay{door: d, stream: true}, time.Now()
	d.mu.Lock()
	s.of = d.find(tenant, now)
	if s.try(now) {
		d.mu.Unlock()
		return s
	}
	s.wait(&s.of.streams, now)
	d.mu.Unlock()
	select {
	case <-s.ready:
	case <-ctx.Done():
		d.mu.Lock()
		s.stop()
		d.mu.Unlock()
	}
	return s
}

// Leave ends a stay, once.
func (s *Stay) Leave() {
	if s == nil || s.of == nil {
		return
	}
	d := s.door
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if s.stream && d.level > 0 {
		s.of.credit -= min(now.Sub(s.since), doorSend)
	}
	if s.inside {
		s.out()
		d.admit(s.of, now)
	}
}

// Everything below is under the lock.

// find gives a tenant's requests, one of which has come.
func (d *Door) find(tenant string, now time.Time) *atWork {
	a := d.tenants[tenant]
	if a == nil {
		if len(d.tenants) >= d.sweepAt {
			d.sweepAt = 2*d.forget(now) + 2
		}
		a = &atWork{}
		d.tenants[tenant] = a
	}
	a.last = now
	return a
}

// forget forgets tenants that are not here, and says how many are.
func (d *Door) forget(now time.Time) int {
	for key, a := range d.tenants {
		if now.Sub(a.last) > doorHere && a.inside == 0 && a.waiting() == 0 {
			delete(d.tenants, key)
		}
	}
	return len(d.tenants)
}

func (a *atWork) waiting() int { return a.requests + len(a.streams.all) }

// lineOf is an address's, made if need be.
func (a *atWork) lineOf(address string) *line {
	for _, l := range a.lines {
		if l.key == address {
			return l
		}
	}
	l := &line{key: address}
	a.lines = append(a.lines, l)
	return l
}

// try comes in if there is a place and nobody waits for it.
func (s *Stay) try(now time.Time) bool {
	d, a := s.door, s.of
	if d.level > 0 && (a.inside >= d.level || a.waiting() > 0 || s.stream && a.credit <= 0) {
		return false
	}
	s.come(now)
	return true
}

func (s *Stay) wait(l *line, now time.Time) {
	s.since, s.line, s.ready = now, l, make(chan struct{})
	l.all = append(l.all, s)
	if !s.stream {
		s.of.requests++
	}
	s.door.waiting++
}

// stop waits no longer; false: it does not wait, as it came in.
func (s *Stay) stop() bool {
	l, a := s.line, s.of
	if l == nil {
		return false
	}
	if l.all[0] == s { // whose turn it is
		l.all[0] = nil
		l.all = l.all[1:]
	} else {
		l.all = slices.DeleteFunc(l.all, func(other *Stay) bool { return other == s })
	}
	s.line = nil
	s.door.waiting--
	if s.stream {
		return true
	}
	a.requests--
	if len(l.all) == 0 {
		a.lines = slices.DeleteFunc(a.lines, func(other *line) bool { return other == l })
	}
	return true
}

// admit lets in who waits, as far as there are places.
func (d *Door) admit(a *atWork, now time.Time) {
	for d.level == 0 || a.inside < d.level {
		s := a.next(d.level == 0 || a.credit > 0)
		if s == nil {
			return
		}
		l := s.line
		s.stop()
		if i := slices.Index(a.lines, l); i >= 0 { // the others' turns are before its next
			a.lines = append(slices.Delete(a.lines, i, i+1), l)
		}
		s.come(now)
		close(s.ready)
	}
}

// next is whose turn it is: of the address whose turn it is the longest waiting, or what has waited for longer to be sent
// to a subscriber, if that may be. So a tenant writes no faster than its subscribers are told, and neither waits for long
// for the other.
func (a *atWork) next(send bool) *Stay {
	var stream, request *Stay
	if send && len(a.streams.all) > 0 {
		stream = a.streams.all[0]
	}
	if len(a.lines) > 0 {
		request = a.lines[0].all[0]
	}
	if request == nil || stream != nil && stream.since.Before(request.since) {
		return stream
	}
	return request
}

func (s *Stay) come(now time.Time) {
	d, a := s.door, s.of
	s.since, s.inside = now, true
	if s.prev = a.newest; s.prev == nil {
		a.oldest = s
	} else {
		s.prev.next = s
	}
	a.newest = s
	a.inside++
	d.inside++
	if a.inside <= d.processors {
		return
	}
	d.most, d.crowded = max(d.most, a.inside), now
	if !d.awake && len(d.tenants) > 1 {
		d.awake = true
		d.alarm <- struct{}{} // it has room: Run has taken what was in it before it let this be said again
	}
}

func (s *Stay) out() {
	a := s.of
	if s.prev == nil {
		a.oldest = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		a.newest = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next, s.inside = nil, nil, false
	a.inside--
	s.door.inside--
}

package firehose

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
)

const (
	healthTimeout = 10 * time.Second
	maxQuiet      = 1000            // relays that are remembered as silent; more are asked for each tenant
	maxWaiting    = 1 << 16         // tenants that are told at once when one answers; others come by themselves
	quietScouts   = 8               // tenants that come when a relay is asked again: other processes take some of them
	quietEarly    = 5 * time.Second // how much too early one may come: by another clock
)

// quiet are the relays that answer nobody, as far as this process knows. One of their tenants tries again when it is time,
// and the others wait for what comes of it: a relay that is down is not asked by thousands. A relay that answers, though
// not as one tenant would like, is not among them: that is this tenant's affair.
type quiet struct {
	mu     sync.Mutex
	relays map[string]*silence
}

type silence struct {
	failures int
	until    time.Time // before that nobody asks
	asking   bool      // somebody does
	waiting  map[db.Schema]bool
	scouts   map[db.Schema]bool // a few of them that come when it is time
}

// open tells whether the relay is to be asked now.
func (s *silence) open(now time.Time) bool {
	return !s.asking && !s.until.After(now.Add(quietEarly))
}

// wait has a tenant told when the relay answers. It gives when the tenant comes if it hears nothing, which is for a process
// that ends before that; a few come when it is time to ask again.
func (s *silence) wait(schema db.Schema, now time.Time, every time.Duration) time.Time {
	if len(s.waiting) < maxWaiting {
		s.waiting[schema] = true
	}
	if len(s.scouts) < quietScouts {
		s.scouts[schema] = true
	}
	if !s.scouts[schema] {
		return now.Add(every/2 + rand.N(every))
	}
	at := s.until
	if soon := now.Add(healthTimeout); at.Before(soon) {
		at = soon
	}
	return at.Add(rand.N(quietEarly))
}

// hold tells whether a tenant has to wait for this relay, and until when. If not, the caller asks the relay and says what
// came of it, by heard or unheard; where asker is true, others wait for that, and gaveUp ends it.
func (q *quiet) hold(relay string, s db.Schema, now time.Time, every time.Duration) (next time.Time, held, asker bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	is := q.relays[relay]
	switch {
	case is == nil:
		return time.Time{}, false, false
	case is.open(now):
		is.asking = true
		return time.Time{}, false, true
	}
	return is.wait(s, now, every), true, false
}

// held tells whether all of these relays are silent, so that there is nothing to do for the tenant until next.
func (q *quiet) held(urls []string, s db.Schema, now time.Time, every time.Duration) (next time.Time, held bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, url := range urls {
		if is := q.relays[relayKey(url)]; is == nil || is.open(now) {
			return time.Time{}, false
		}
	}
	for _, url := range urls {
		next = sooner(next, q.relays[relayKey(url)].wait(s, now, every))
	}
	return next, true
}

// heard says that the relay answers, and gives the tenants that waited for that.
func (q *quiet) heard(relay string) (was bool, waiting map[db.Schema]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	is := q.relays[relay]
	if is == nil {
		return false, nil
	}
	delete(q.relays, relay)
	return true, is.waiting
}

// unheard says that the relay does not answer, and gives when it is asked again. Several that found out at once count as
// one.
func (q *quiet) unheard(relay string, now time.Time, first, most time.Duration) (until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	is := q.relays[relay]
	if is == nil {
		is = &silence{waiting: map[db.Schema]bool{}, scouts: map[db.Schema]bool{}}
		if len(q.relays) < maxQuiet {
			q.relays[relay] = is
		}
	}
	is.asking = false
	if !is.until.After(now.Add(quietEarly)) {
		is.until = now.Add(min(first<<min(is.failures, 10), most))
		is.failures++
	}
	return is.until
}

// gaveUp says that the asker is done, also where nothing came of it.
func (q *quiet) gaveUp(relay string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if is := q.relays[relay]; is != nil {
		is.asking = false
	}
}

// relayKey is a relay's URL as it is remembered.
func relayKey(url string) string { return strings.TrimRight(url, "/") }

// answered has the tenants come that wait for a relay.
func (k *Keeper) answered(relay string) {
	was, waiting := k.quiet.heard(relay)
	if !was {
		return
	}
	k.log.Info("relay answers again", "relay", relay, "tenants_waiting", len(waiting))
	if k.cfg.Again == nil {
		return
	}
	for s := range waiting {
		k.cfg.Again(s)
	}
}

// alive tells whether a relay answers anything at all. It is asked after it did not take a tenant's request: a relay calls
// the tenant's host before it answers, and one that cannot be reached may keep it waiting.
func (k *Keeper) alive(ctx context.Context, relay string) bool {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, relay+"/xrpc/_health", nil)
	if err != nil {
		return false
	}
	r.Header.Set("User-Agent", "aurora-locus")
	answer, err := k.cfg.Client.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, crawlAnswer))
	return answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusTooManyRequests
}

package usage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	flushEvery = time.Minute
	// kickEvery bounds the extra looks that a tenant with a quota causes of which the process knows nothing yet.
	kickEvery = time.Second
	lastFlush = 5 * time.Second // at the end of the process
	shardsOf  = 64
	// batchRows is how many tenants one transaction adds to.
	batchRows = 1000
)

// Meter counts for one process. It is safe for concurrent use. Its memory is some 200 bytes for each tenant that was
// asked something.
type Meter struct {
	db      *db.DB
	tenants *tenant.Registry
	now     func() time.Time
	log     *slog.Logger
	writer  string // names the process in control

	shards [shardsOf]shard
	kick   chan struct{}

	mu      sync.Mutex // one flush at a time
	batch   int64      // the last one that was begun
	waiting []row      // taken out of the shards, and not added yet
	sent    int        // so many of them are batch, which was tried; 0: none was

	noting  sync.Mutex
	reached []reached // guarded by noting
}

type shard struct {
	mu  sync.Mutex
	of  map[int64]*count
	old []row // of days that ended since the last flush
	_   [24]byte
}

// count is one tenant's, of one day.
type count struct {
	t               *tenant.Tenant
	day             int64 // since 1970
	requests, bytes int64 // not added yet
	before          int64 // requests of that day that control knows, of all processes
	known           bool  // before was read
	storage         storage
	noted           []string // quotas that this process has said today are reached
}

// storage is what a tenant's records and files took when somebody looked last.
type storage struct {
	known                  bool
	recordBytes, blobBytes int64
}

// row is what is to be added.
type row struct {
	tenant          int64
	hostname        string
	day             int64
	requests, bytes int64
}

type reached struct {
	t     *tenant.Tenant
	quota string
	limit int64
	at    time.Time
}

// NewMeter makes a meter; [Meter.Run] keeps it.
func NewMeter(d *db.DB, tenants *tenant.Registry, now func() time.Time, log *slog.Logger) *Meter {
	m := &Meter{db: d, tenants: tenants, now: now, log: log, writer: rand.Text(), kick: make(chan struct{}, 1)}
	for i := range m.shards {
		m.shards[i].of = map[int64]*count{}
	}
	return m
}

const day = 24 * time.Hour

func dayNumber(t time.Time) int64 { return t.Unix() / int64(day/time.Second) }

func dayTime(n int64) time.Time { return time.Unix(n*int64(day/time.Second), 0).UTC() }

// Count adds what a tenant was asked and sent. A nil Meter counts nothing and limits nothing.
func (m *Meter) Count(t *tenant.Tenant, requests, bytes int64, at time.Time) {
	if m == nil {
		return
	}
	s := &m.shards[uint64(t.ID)%shardsOf]
	today := dayNumber(at)
	s.mu.Lock()
	c := s.at(t, today)
	c.requests += requests
	c.bytes += bytes
	ask := !c.known && t.Settings.RequestTenantDay > 0 || !c.storage.known && t.Settings.StorageTenantBytes > 0
	s.mu.Unlock()
	if ask {
		m.ask()
	}
}

// ask has what quotas need read soon.
func (m *Meter) ask() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// at is the tenant's count of a day; that of a day before is put aside. A request that began before midnight counts for
// the new day when somebody else was there first. Under the lock.
func (s *shard) at(t *tenant.Tenant, today int64) *count {
	c := s.of[t.ID]
	if c == nil {
		c = &count{day: today}
		s.of[t.ID] = c
	}
	c.t = t
	if c.day < today {
		if c.requests != 0 || c.bytes != 0 {
			s.old = append(s.old, c.row())
		}
		*c = count{t: t, day: today, storage: c.storage}
	}
	return c
}

func (c *count) row() row { return row{c.t.ID, c.t.Hostname, c.day, c.requests, c.bytes} }

// RequestsToday is how many requests the tenant was asked today as far as this process knows: what control had at the
// last look, and its own since.
func (m *Meter) RequestsToday(t *tenant.Tenant) int64 {
	s := &m.shards[uint64(t.ID)%shardsOf]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.at(t, dayNumber(m.now()))
	return c.before + c.requests
}

// ErrRequestQuota: the tenant has had as many requests today as it may, and takes nothing new until the day ends.
var ErrRequestQuota = errors.New("tenant's quota of requests is used up")

// RequestError is [ErrRequestQuota] with its numbers.
type RequestError struct {
	Limit int64
	Wait  time.Duration // until the day ends
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("This server may be asked %d times a day, and was: nothing new is taken before 00:00 UTC. Reading, deleting and moving away go on", e.Limit)
}

// Said is the text for the client.
func (e *RequestError) Said() string { return e.Error() }

// RetryAfter is when it goes better.
func (e *RequestError) RetryAfter() time.Duration { return e.Wait }

func (e *RequestError) Unwrap() error { return ErrRequestQuota }

// MayAdd refuses what adds to a tenant that has used up its requests of the day. It asks nobody: other processes' requests
// of the last minute are not known. Errors: [ErrRequestQuota].
func (m *Meter) MayAdd(t *tenant.Tenant) error {
	limit := t.Settings.RequestTenantDay
	if m == nil || limit == 0 || m.RequestsToday(t) <= limit {
		return nil
	}
	m.Reached(t, QuotaRequests, limit)
	now := m.now()
	return &RequestError{limit, DayOf(now).Add(day).Sub(now)}
}

// Storage is what the tenant's records and files may still become each, given a quota of both together: limits for
// either, 0 for none. It goes by what the last look found, a minute ago at most, and takes the other half as it was then.
func (m *Meter) Storage(t *tenant.Tenant) (recordBytes, blobBytes int64) {
	limit := t.Settings.StorageTenantBytes
	if m == nil || limit == 0 {
		return 0, 0
	}
	s := &m.shards[uint64(t.ID)%shardsOf]
	s.mu.Lock()
	have := s.at(t, dayNumber(m.now())).storage
	s.mu.Unlock()
	if !have.known {
		m.ask()
	}
	return max(1, limit-have.blobBytes), max(1, limit-have.recordBytes)
}

// Reached says that a tenant is at a quota: the log hears of it once a day from each process, control's log and list once
// a day in all.
func (m *Meter) Reached(t *tenant.Tenant, quota string, limit int64) {
	if m == nil {
		return
	}
	s := &m.shards[uint64(t.ID)%shardsOf]
	now := m.now()
	s.mu.Lock()
	c := s.at(t, dayNumber(now))
	for _, q := range c.noted {
		if q == quota {
			s.mu.Unlock()
			return
		}
	}
	c.noted = append(c.noted, quota)
	s.mu.Unlock()
	m.log.Warn("a tenant has reached a quota", "tenant", t.Hostname, "quota", quota, "limit", limit)
	m.noting.Lock()
	m.reached = append(m.reached, reached{t, quota, limit, now})
	m.noting.Unlock()
	m.ask()
}

// Run adds what was counted once a minute, until ctx ends. Whoever ends the process calls [Meter.Close] behind the last
// answer.
func (m *Meter) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		err := m.Flush(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !db.IsUnavailable(err) { // which db tells the log
			m.log.Warn("usage cannot be added; it is kept and added later", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(kickEvery):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.kick:
		case <-tick.C:
		}
	}
}

// Close adds what is left.
func (m *Meter) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), lastFlush)
	defer cancel()
	if err := m.Flush(ctx); err != nil {
		m.log.Warn("what was used since the last minute is lost", "err", err)
	}
}

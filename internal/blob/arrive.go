package blob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// arrival is an upload whose object is there and which has no row yet.
type arrival struct {
	owner     Owner
	cid       []byte
	mime      string
	size      int64
	store     int16
	object    string
	announced bool
	limits    Limits

	done chan error
	row  tenantdb.UpsertBlobsRow
}

// arrivals are those of one tenant that wait for the database: what comes while a group is on its way makes the next.
type arrivals struct {
	tenant  *db.Tenant
	queue   []*arrival // under recorder.mu
	running bool       // under recorder.mu
}

// recorder gives uploads their rows, those of one tenant that come at once in one transaction.
type recorder struct {
	db  *db.DB
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	groups  map[db.Schema]*arrivals
	running sync.WaitGroup
	closed  bool
}

// close waits for what was begun.
func (s *recorder) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
}

// maxArrivals bounds a group.
const maxArrivals = 64

// arriveTime bounds one group's transaction.
const arriveTime = 30 * time.Second

// begin has an upload recorded; a.done says when and how that ended, and a.row what came of it.
func (s *recorder) begin(a *arrival) {
	a.done = make(chan error, 1)
	a.row = tenantdb.UpsertBlobsRow{}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		a.done <- ErrClosed
		return
	}
	g := s.groups[a.owner.Schema]
	if g == nil {
		g = &arrivals{tenant: s.db.Tenant(a.owner.Schema)}
		s.groups[a.owner.Schema] = g
	}
	g.queue = append(g.queue, a)
	if !g.running {
		g.running = true
		s.running.Go(func() { s.run(g) })
	}
	s.mu.Unlock()
}

func (s *recorder) run(g *arrivals) {
	for {
		s.mu.Lock()
		group := g.take()
		if len(group) == 0 {
			g.running = false
			delete(s.groups, g.tenant.Schema())
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		err := s.send(g.tenant, group)
		if err != nil && len(group) > 1 && !errors.Is(err, db.ErrUnknownOutcome) && !db.IsUnavailable(err) {
			s.log.Warn("group of uploads refused, trying one by one", "schema", g.tenant.Schema(), "size", len(group), "err", err)
			for _, a := range group {
				a.done <- s.send(g.tenant, []*arrival{a})
			}
			continue
		}
		for _, a := range group {
			a.done <- err
		}
	}
}

// take removes the next group from the queue. The same blob of the same account twice would be one row twice in one
// statement: the second waits.
func (g *arrivals) take() []*arrival {
	type key struct {
		aid int64
		cid string
	}
	var group, rest []*arrival
	seen := map[key]bool{}
	for _, a := range g.queue {
		k := key{a.owner.AID, string(a.cid)}
		if len(group) == maxArrivals || seen[k] {
			rest = append(rest, a)
			continue
		}
		seen[k] = true
		group = append(group, a)
	}
	g.queue = rest
	return group
}

// send runs one transaction in one round trip, again after a deadlock.
func (s *recorder) send(t *db.Tenant, group []*arrival) error {
	ctx, cancel := context.WithTimeout(context.Background(), arriveTime)
	defer cancel()
	var p tenantdb.UpsertBlobsParams
	var announced tenantdb.LockBlobIntentsParams
	for _, a := range group {
		p.Aids = append(p.Aids, a.owner.AID)
		p.Cids = append(p.Cids, a.cid)
		p.MimeTypes = append(p.MimeTypes, a.mime)
		p.Sizes = append(p.Sizes, a.size)
		p.Stores = append(p.Stores, a.store)
		p.Objects = append(p.Objects, a.object)
		p.Announced = append(p.Announced, a.announced)
		if a.announced {
			announced.Stores = append(announced.Stores, a.store)
			announced.Objects = append(announced.Objects, a.object)
		}
	}
	limits := group[len(group)-1].limits // the newest that was read
	owners := slices.Compact(slices.Sorted(slices.Values(p.Aids)))
	for try := 1; ; try++ {
		b := t.Batch()
		b.Queue(tenantdb.LockBlobOwners, owners)
		if len(announced.Stores) > 0 {
			b.Queue(tenantdb.LockBlobIntents, announced.Stores, announced.Objects)
		}
		b.Queue(tenantdb.UpsertBlobs, p.Aids, p.Cids, p.MimeTypes, p.Sizes, p.Stores, p.Objects, p.Announced,
			limits.Account, limits.Tenant, s.now()).
			Each(func(row pgx.Row) error {
				var r tenantdb.UpsertBlobsRow
				err := row.Scan(&r.N, &r.Made, &r.Awaited, &r.Known, &r.Refused, &r.MimeType, &r.Takendown)
				if err == nil && r.N >= 1 && r.N <= int64(len(group)) {
					group[r.N-1].row = r
				}
				return err
			})
		err := b.Send(ctx)
		if err == nil {
			return nil
		}
		if try == 5 || !db.IsRetryable(err) {
			return fmt.Errorf("record upload: %w", err)
		}
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
}

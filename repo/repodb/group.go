package repodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/trace"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/mst"
)

// pending is a finished commit on its way into the database.
type pending struct {
	aid    int64
	prev   repo.TID // the compare-and-set: the revision it was built on
	commit *repo.Commit
	event  firehose.Event
	now    time.Time

	puts    []put
	deletes []string
	refs    []blobRef
	kept    map[blobRef]bool // of refs: those that need no blob

	records int      // how many more there are after it
	bytes   int64    // of what it puts; what stood at old before goes off
	old     []string // paths of records that it replaces or deletes

	head  *head           // after the commit
	whose context.Context // the writer's: it says only which trace the commit is part of
	done  chan outcome
}

// put is a record to store.
type put struct {
	path  string
	cid   []byte
	value []byte
	link  string // its backlink, or ""
}

// outcome of a commit: its event's number, or 0 if the compare-and-set was lost.
type outcome struct {
	seq int64
	err error
}

// fill works out the rows from the operations the commit made of the writes.
func (p *pending) fill(writes []repo.Write) {
	blocks := make(map[string][]byte, len(writes))
	for i := range writes {
		if writes[i].Action != repo.ActionDelete {
			blocks[writes[i].Path] = writes[i].Record
		}
	}
	for i := range p.commit.Ops {
		op := &p.commit.Ops[i]
		if op.Action != repo.ActionCreate {
			p.old = append(p.old, op.Path)
		} else {
			p.records++
		}
		if op.Action == repo.ActionDelete {
			p.records--
			p.deletes = append(p.deletes, op.Path)
			continue
		}
		value := blocks[op.Path]
		p.bytes += int64(len(value))
		link, _ := LinkOf(op.Path, value)
		p.puts = append(p.puts, put{path: op.Path, cid: op.CID.Bytes(), value: value, link: link})
	}
}

// committer folds a tenant's waiting commits into groups. It runs while there is something to do.
type committer struct {
	tenant  *db.Tenant
	queue   []*pending // under Store.mu
	running bool       // under Store.mu
}

// commit hands p to its tenant's committer and waits for what came of it.
//
// It does not end early. A commit on its way cannot be called back, and the next write of the repository has to know
// what became of it.
func (s *Store) commit(ctx context.Context, schema db.Schema, p *pending) (seq int64, err error) {
	ctx, span := trace.Start(ctx, "commit", trace.Inside)
	defer span.End()
	p.whose = ctx
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, ErrClosed
	}
	c := s.groups[schema]
	if c == nil {
		c = &committer{tenant: s.db.Tenant(schema)}
		s.groups[schema] = c
	}
	c.queue = append(c.queue, p)
	if !c.running {
		c.running = true
		s.running.Add(1)
		go s.runCommitter(c)
	}
	s.mu.Unlock()
	fair.Aside(ctx) // others of the tenant are to be in the next group
	o := <-p.done
	return o.seq, o.err
}

// runCommitter takes what is waiting, never more than one group at a time: the groups of a tenant follow each other
// anyway, for its stream_head. Two at once were measured: no more commits a second, more CPU each (docs/storage.md).
func (s *Store) runCommitter(c *committer) {
	defer s.running.Done()
	for first := true; ; first = false {
		// The writers that the last group has woken queue their next commits first. That makes larger groups and less
		// CPU a commit, and nobody waits for it. A first commit has nobody to wait for but other tenants' requests.
		if !first {
			runtime.Gosched()
		}
		s.mu.Lock()
		n := min(len(c.queue), s.cfg.MaxGroup)
		if n == 0 {
			c.running = false
			delete(s.groups, c.tenant.Schema())
			s.mu.Unlock()
			return
		}
		group := slices.Clone(c.queue[:n])
		rest := copy(c.queue, c.queue[n:])
		clear(c.queue[rest:])
		c.queue = c.queue[:rest]
		s.mu.Unlock()
		s.commitGroup(c.tenant, group)
	}
}

// commitGroup commits the group and tells its members. When Postgres refuses the group, because of the rows of one
// member, each member is committed by itself.
func (s *Store) commitGroup(tenant *db.Tenant, group []*pending) {
	// By account, so that two processes' groups lock the same rows in one order.
	slices.SortFunc(group, func(a, b *pending) int { return cmp.Compare(a.aid, b.aid) })
	seqs, total, err := s.sendGroup(tenant, group)
	if err != nil && len(group) > 1 && !errors.Is(err, db.ErrUnknownOutcome) && !db.IsUnavailable(err) {
		s.log.Warn("group commit refused, trying one by one", "schema", tenant.Schema(), "size", len(group), "err", err)
		for _, p := range group {
			s.commitGroup(tenant, []*pending{p})
		}
		return
	}
	if err != nil {
		err = fmt.Errorf("commit: %w", err)
	}
	last := int64(0)
	for _, p := range group {
		last = max(last, seqs[p.aid])
	}
	if last > 0 && err == nil {
		s.learnTotal(tenant.Schema(), total) // before anybody is answered, whose next write is held against it
	}
	for _, p := range group {
		seq := seqs[p.aid]
		if seq > 0 && err == nil {
			s.db.Changed(tenant.Schema(), p.aid)
			s.hub.Wrote(tenant.Schema(), seq, p.aid, p.commit.Head.Rev)
		}
		p.done <- outcome{seq: seq, err: err}
	}
	switch {
	case last > 0 && err == nil:
		s.hub.Notify(tenant.Schema(), last)
	case errors.Is(err, db.ErrUnknownOutcome):
		s.hub.Doubt(tenant.Schema())
	}
}

// sendGroup runs one transaction, again after a deadlock: that took everything back. It returns the event's number of
// each account that won, and what the tenant's records take then.
func (s *Store) sendGroup(tenant *db.Tenant, group []*pending) (seqs map[int64]int64, total Sum, err error) {
	ctx, cancel := context.WithTimeout(s.life, s.cfg.CommitTime)
	defer cancel()
	if i := slices.IndexFunc(group, func(p *pending) bool { return trace.On(p.whose) }); i >= 0 {
		ctx = trace.Joined(ctx, group[i].whose) // of several traces, one has the group's statements
	}
	for try := 1; ; try++ {
		seqs = make(map[int64]int64, len(group))
		b := tenant.Batch()
		queueGroup(b, group, func(aid, seq int64, now Sum) { seqs[aid], total = seq, now })
		err := b.Send(ctx)
		// Committed: subscribers will see this.
		if err == nil {
			s.counts.committed(len(group), len(seqs))
			return seqs, total, nil
		}
		if try == 5 || !db.IsRetryable(err) {
			s.counts.failed.Add(1)
			return nil, Sum{}, err
		}
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
}

// queueGroup queues the statements of a group in their order: heads first, the sequence last. What a group has nothing
// for is left out.
func queueGroup(b *db.Batch, group []*pending, won func(aid, seq int64, total Sum)) {
	var (
		heads   tenantdb.UpdateRepoHeadsReplacingParams
		nodes   tenantdb.UpsertNodesParams
		gone    tenantdb.DeleteNodesParams
		puts    tenantdb.UpsertRecordsParams
		deletes tenantdb.DeleteRecordsParams
		events  tenantdb.InsertCommitEventsParams
	)
	for _, p := range group {
		c, aid, rev := p.commit, p.aid, int64(p.commit.Head.Rev)
		heads.Aids = append(heads.Aids, aid)
		heads.Prevs = append(heads.Prevs, int64(p.prev))
		heads.Revs = append(heads.Revs, rev)
		heads.Cids = append(heads.Cids, c.Head.CID.Bytes())
		heads.Blocks = append(heads.Blocks, c.Block)
		heads.Records = append(heads.Records, int32(p.records))
		heads.Bytes = append(heads.Bytes, p.bytes)
		heads.Limits = append(heads.Limits, p.head.usage.version)
		for _, path := range p.old {
			heads.OldAids = append(heads.OldAids, aid)
			heads.OldPaths = append(heads.OldPaths, path)
		}
		for _, list := range [2][]mst.Node{c.Diff.New, c.Diff.Moved} {
			for i := range list {
				n := &list[i]
				nodes.Aids = append(nodes.Aids, aid)
				nodes.Revs = append(nodes.Revs, rev)
				nodes.Levels = append(nodes.Levels, int16(n.Level))
				nodes.Afters = append(nodes.Afters, n.After)
				nodes.Cids = append(nodes.Cids, n.CID.Bytes())
				nodes.Contents = append(nodes.Contents, n.Block)
			}
		}
		for _, at := range c.Diff.Gone {
			gone.Aids = append(gone.Aids, aid)
			gone.Revs = append(gone.Revs, rev)
			gone.Levels = append(gone.Levels, int16(at.Level))
			gone.Afters = append(gone.Afters, at.After)
		}
		for i := range p.puts {
			r := &p.puts[i]
			puts.Aids = append(puts.Aids, aid)
			puts.Revs = append(puts.Revs, rev)
			puts.Paths = append(puts.Paths, r.path)
			puts.Cids = append(puts.Cids, r.cid)
			puts.Values = append(puts.Values, r.value)
			puts.Times = append(puts.Times, p.now)
			puts.Links = append(puts.Links, r.link)
		}
		for _, path := range p.deletes {
			deletes.Aids = append(deletes.Aids, aid)
			deletes.Revs = append(deletes.Revs, rev)
			deletes.Paths = append(deletes.Paths, path)
		}
		events.Aids = append(events.Aids, aid)
		events.Revs = append(events.Revs, rev)
		events.Times = append(events.Times, p.event.Time)
		events.SeqOffs = append(events.SeqOffs, int32(p.event.SeqOff))
		events.Payloads = append(events.Payloads, p.event.Payload)
	}
	commits := heads.Cids
	queueHeads(b, group, &heads)
	if len(nodes.Aids) > 0 {
		b.Queue(tenantdb.UpsertNodes, nodes.Aids, nodes.Revs, nodes.Levels, nodes.Afters, nodes.Cids, nodes.Contents, commits)
	}
	if len(gone.Aids) > 0 {
		b.Queue(tenantdb.DeleteNodes, gone.Aids, gone.Revs, gone.Levels, gone.Afters, commits)
	}
	if len(puts.Aids) > 0 {
		b.Queue(tenantdb.UpsertRecords, puts.Aids, puts.Revs, puts.Paths, puts.Cids, puts.Values, puts.Times, puts.Links, commits)
	}
	if len(deletes.Aids) > 0 {
		b.Queue(tenantdb.DeleteRecords, deletes.Aids, deletes.Revs, deletes.Paths, commits)
	}
	b.Routine(true)
	queueBlobs(b, group, commits)
	b.Queue(tenantdb.InsertCommitEvents, events.Aids, events.Revs, events.Times, events.SeqOffs, events.Payloads, commits).
		Each(func(row pgx.Row) error {
			var seq, aid int64
			var total Sum
			if err := row.Scan(&seq, &aid, &total.Records, &total.Bytes); err != nil {
				return err
			}
			won(aid, seq, total)
			return nil
		})
}

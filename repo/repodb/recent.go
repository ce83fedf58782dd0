package repodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// What a process remembers of an account's newest changes. An app view that is asked in an account's name says which
// revision it has seen; what is behind it is put into its answer. Nearly always that is nothing, and then no statement
// is needed to know it.
//
// This process's own writes are remembered as they are made. Whether there are others' the caller says, by a head that
// it knows. The changes come from the account's events then, which have the deletes as well, and an index by account.

const (
	// recentCommits and recentBytes bound what is remembered of one account; older changes than these count as seen.
	recentCommits = 64
	recentBytes   = 256 << 10
	// recentItself is what an entry takes without its changes.
	recentItself = 120
)

// shown tells whether records at a path are part of what an app shows of an account: a change of others is not
// remembered.
func shown(path string) bool {
	collection, _, _ := strings.Cut(path, "/")
	switch collection {
	case "app.bsky.actor.profile", "app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.feed.repost", "app.bsky.graph.follow":
		return true
	}
	return false
}

// Change is what a commit did to one record.
type Change struct {
	Path    string
	Created bool    // there was no record before
	CID     cid.Cid // undefined: deleted
	Value   []byte  // DAG-CBOR; nil: deleted
	Link    string  // what it points at, as LinkOf says
	At      time.Time
}

// recent is what is remembered of one account. It is never changed: a newer value takes its place.
type recent struct {
	head    repo.TID
	floor   repo.TID // all changes behind it, up to the head, are here
	whole   bool     // there is nothing to be had from before the floor
	commits []recentCommit
	bytes   int
}

type recentCommit struct {
	rev     repo.TID
	changes []Change
	bytes   int
}

// Since lists the changes of an account's posts, profile, likes, reposts and follows behind a revision, oldest first.
// When so much was written that not all of it is remembered, only the newest changes come. head is the account's newest
// revision as far as the caller knows. It takes a statement only when that one is behind rev and was made by another
// process, or before what this one remembers.
func (s *Store) Since(ctx context.Context, schema db.Schema, aid int64, head, rev repo.TID) ([]Change, error) {
	key := repoKey{schema, aid}
	s.mu.Lock()
	r, known := s.recents.Get(key)
	s.mu.Unlock()
	if known {
		head = max(head, r.head)
	}
	if head <= rev {
		return nil, nil
	}
	if !known || r.head < head || r.floor > rev && !r.whole {
		next, err := s.readRecent(ctx, key, head, rev)
		if err != nil {
			return nil, fmt.Errorf("changes of %s: %w", name(schema, aid), err)
		}
		s.mu.Lock()
		if now, ok := s.recents.Get(key); !ok || now == r || now.head <= next.head { // else a write came between
			s.recents.Put(schema.String(), key, next, int64(next.bytes)+recentItself)
		}
		s.mu.Unlock()
		r = next
	}
	var out []Change
	for i := range r.commits {
		if r.commits[i].rev > rev {
			out = append(out, r.commits[i].changes...)
		}
	}
	return out, nil
}

func (s *Store) forgetRecent(key repoKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recents.Remove(key)
}

// remember adds a commit of this process that is durable.
func (s *Store) remember(key repoKey, p *pending) {
	c := recentCommit{rev: p.commit.Head.Rev, bytes: 64}
	puts := make(map[string]*put, len(p.puts))
	for i := range p.puts {
		puts[p.puts[i].path] = &p.puts[i]
	}
	for i := range p.commit.Ops {
		op := &p.commit.Ops[i]
		if !shown(op.Path) {
			continue
		}
		ch := Change{Path: op.Path, Created: op.Action == repo.ActionCreate, CID: op.CID, At: p.now}
		if put := puts[op.Path]; put != nil {
			ch.Value, ch.Link = slices.Clone(put.value), put.link // the block is a part of something larger, maybe
		}
		c.add(ch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &recent{head: c.rev, floor: p.prev}
	if r, ok := s.recents.Get(key); ok {
		if r.head >= c.rev {
			return // somebody has asked meanwhile
		}
		if r.head == p.prev {
			next.floor, next.whole, next.bytes = r.floor, r.whole, r.bytes
			next.commits = slices.Clone(r.commits)
		}
	}
	if len(c.changes) > 0 {
		next.commits = append(next.commits, c)
		next.bytes += c.bytes
	}
	next.trim()
	s.recents.Put(key.schema.String(), key, next, int64(next.bytes)+recentItself)
}

func (c *recentCommit) add(ch Change) {
	c.changes = append(c.changes, ch)
	c.bytes += len(ch.Path) + len(ch.Value) + len(ch.Link) + 200
}

// trim lets go of the oldest commits.
func (r *recent) trim() {
	n := 0
	for ; n < len(r.commits) && (len(r.commits)-n > recentCommits || r.bytes > recentBytes); n++ {
		r.bytes -= r.commits[n].bytes
		r.floor, r.whole = r.commits[n].rev, true
	}
	r.commits = slices.Clone(r.commits[n:])
}

// readRecent reads the changes from the account's events.
func (s *Store) readRecent(ctx context.Context, key repoKey, head, rev repo.TID) (*recent, error) {
	events, err := firehose.ListNewestOf(ctx, s.db.Tenant(key.schema).Q(), key.aid, rev, recentCommits, 4*recentBytes)
	if err != nil {
		return nil, err
	}
	r := &recent{head: head, floor: head}
	below := repo.TID(-1) // what the commit read last was built on
	for i := range events {
		e := &events[i]
		if i == 0 {
			r.head, r.floor = max(head, e.Rev), e.Rev
		}
		// A sync is another repository than the one before, and a hole is what retention or a restore has taken away.
		if e.Kind != firehose.KindCommit || below >= 0 && below != e.Rev {
			break
		}
		c, since, err := readCommit(e)
		if err != nil {
			return nil, err
		}
		if len(c.changes) > 0 {
			r.commits = append(r.commits, c)
			r.bytes += c.bytes
		}
		below, r.floor = since, since
	}
	slices.Reverse(r.commits)
	r.whole = r.floor > rev // what is not here now will not be here the next time
	r.trim()
	return r, nil
}

// readCommit is what an event says of the records that are shown, and what its commit was built on.
func readCommit(e *firehose.Stored) (c recentCommit, since repo.TID, err error) {
	f, err := firehose.Decode(e.AppendFrame(nil))
	if err != nil {
		return c, 0, err
	}
	c = recentCommit{rev: f.Rev, bytes: 64}
	wanted := map[cid.Cid][]byte{}
	for i := range f.Ops {
		if op := &f.Ops[i]; op.CID.Defined() && shown(op.Path) {
			wanted[op.CID] = nil
		}
	}
	if len(wanted) > 0 {
		if err := findBlocks(f.Blocks, wanted); err != nil {
			return c, 0, err
		}
	}
	for i := range f.Ops {
		op := &f.Ops[i]
		if !shown(op.Path) {
			continue
		}
		ch := Change{Path: op.Path, Created: op.Action == repo.ActionCreate, CID: op.CID, At: e.Time}
		if op.CID.Defined() {
			ch.Value = wanted[op.CID]
			ch.Link, _ = LinkOf(op.Path, ch.Value)
		}
		c.add(ch)
	}
	return c, f.Since, nil
}

// findBlocks takes blocks out of an archive.
func findBlocks(archive []byte, wanted map[cid.Cid][]byte) error {
	r, err := car.NewReader(bytes.NewReader(archive), car.Limits{})
	if err != nil {
		return err
	}
	for missing := len(wanted); missing > 0; {
		raw, data, err := r.NextUnchecked()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: an event lacks a record", ErrCorrupt)
		}
		if err != nil {
			return err
		}
		c, err := cid.Cast(raw[:dagcbor.CIDLen])
		if err != nil {
			return err
		}
		if was, ok := wanted[c]; ok && was == nil {
			wanted[c] = slices.Clone(data)
			missing--
		}
	}
	return nil
}

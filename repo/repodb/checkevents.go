package repodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/mst"
)

// chain is the state that the events read so far lead to. Before the first commit or sync nothing is known: retention
// may have cut the beginning.
type chain struct {
	known  bool
	rev    repo.TID
	data   cid.Cid
	commit cid.Cid
	seq    int64
}

// checkEvents follows the account's events, oldest first.
func checkEvents(ctx context.Context, q *tenantdb.Queries, r *Report, head repo.Head) error {
	var at chain
	for {
		page, err := firehose.ListEventsOf(ctx, q, r.AID, at.seq, 100)
		if err != nil {
			return err
		}
		for i := range page {
			r.Events++
			at.seq = page[i].Seq
			if err := at.follow(&page[i], head.DID); err != nil {
				r.problem("event %d: %v", at.seq, err)
			}
		}
		if len(page) == 0 {
			break
		}
	}
	if at.known && (at.rev != head.Rev || !at.commit.Equals(head.CID)) {
		r.problem("the newest event is of commit %s, the head of %s", at.rev, head.Rev)
	}
	return nil
}

func (at *chain) follow(e *firehose.Stored, did string) error {
	frame := e.AppendFrame(nil)
	if len(frame) > firehose.MaxFrame {
		return fmt.Errorf("frame of %d bytes", len(frame))
	}
	f, err := firehose.Decode(frame)
	if err != nil {
		return err
	}
	switch {
	case f.Kind != e.Kind, f.Rev != e.Rev, f.Seq != e.Seq:
		return fmt.Errorf("row says kind %d, rev %s, seq %d; frame says %d, %s, %d", e.Kind, e.Rev, e.Seq, f.Kind, f.Rev, f.Seq)
	case f.DID != did:
		return fmt.Errorf("is of %s", f.DID)
	case f.Time.UnixMilli() != e.Time.UnixMilli():
		return fmt.Errorf("row says %s, frame says %s", e.Time, f.Time)
	case f.Kind == firehose.KindCommit:
		return at.followCommit(f)
	case f.Kind == firehose.KindSync:
		return at.followSync(f)
	}
	return nil
}

func (at *chain) followSync(f *firehose.Frame) error {
	if len(f.Blocks) > firehose.MaxSync {
		return fmt.Errorf("blocks of %d bytes", len(f.Blocks))
	}
	root, blocks, err := readBlocks(f.Blocks)
	if err != nil {
		return err
	}
	c, err := blocks.commit(root, f)
	if err != nil {
		return err
	}
	if at.known && c.Rev < at.rev {
		return fmt.Errorf("rev %s falls behind %s", c.Rev, at.rev)
	}
	at.known, at.rev, at.data, at.commit = true, c.Rev, c.Data, root
	return nil
}

// followCommit checks a #commit as a strict consumer does.
//
// spec: sync#message-validation-checklist
func (at *chain) followCommit(f *firehose.Frame) error {
	if len(f.Blocks) > firehose.MaxBlocks || len(f.Ops) > firehose.MaxOps {
		return fmt.Errorf("%d ops, blocks of %d bytes", len(f.Ops), len(f.Blocks))
	}
	root, blocks, err := readBlocks(f.Blocks)
	if err != nil {
		return err
	}
	c, err := blocks.commit(root, f)
	if err != nil {
		return err
	}
	if !root.Equals(f.Commit) {
		return fmt.Errorf("archive is of commit %s, frame of %s", root, f.Commit)
	}
	before := *at
	at.known, at.rev, at.data, at.commit = true, c.Rev, c.Data, root
	if before.known {
		switch {
		case f.Rev <= before.rev:
			return fmt.Errorf("rev %s does not rise from %s", f.Rev, before.rev)
		case f.Since != before.rev:
			return fmt.Errorf("since is %s, the commit before %s", f.Since, before.rev)
		case !f.PrevData.Equals(before.data):
			return fmt.Errorf("prevData is %s, the tree before %s", f.PrevData, before.data)
		}
	}
	if (f.Since == 0) != !f.PrevData.Defined() {
		return errors.New("one of since and prevData is missing")
	}
	for _, op := range f.Ops {
		if op.Action != repo.ActionDelete {
			if _, ok := blocks[op.CID.KeyString()]; !ok {
				return fmt.Errorf("record of %s is missing", op.Path)
			}
		}
	}
	want := f.PrevData
	if !want.Defined() {
		want = mst.EmptyRoot
	}
	undone, err := repo.Invert(f.Ops, c.Data, blocks.load)
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	if !undone.Equals(want) {
		return fmt.Errorf("undone is %s, prevData %s", undone, want)
	}
	return nil
}

// blockSet is the blocks of an event by CID.
type blockSet map[string][]byte

// readBlocks reads an event's archive. The commit must come first.
func readBlocks(archive []byte) (root cid.Cid, blocks blockSet, err error) {
	cr, err := car.NewReader(bytes.NewReader(archive), car.Limits{})
	if err != nil {
		return cid.Undef, nil, err
	}
	if len(cr.Roots()) != 1 {
		return cid.Undef, nil, fmt.Errorf("%d roots", len(cr.Roots()))
	}
	root, blocks = cr.Roots()[0], blockSet{}
	for {
		c, data, err := cr.Next()
		if err == io.EOF {
			return root, blocks, nil
		}
		if err != nil {
			return cid.Undef, nil, err
		}
		if len(blocks) == 0 && !c.Equals(root) {
			return cid.Undef, nil, errors.New("the commit is not the first block")
		}
		blocks[c.KeyString()] = bytes.Clone(data)
	}
}

func (b blockSet) load(c cid.Cid) ([]byte, error) {
	if block, ok := b[c.KeyString()]; ok {
		return block, nil
	}
	return nil, mst.ErrNotFound
}

func (b blockSet) commit(root cid.Cid, f *firehose.Frame) (repo.SignedCommit, error) {
	c, err := repo.DecodeCommit(b[root.KeyString()])
	if err != nil {
		return c, err
	}
	if c.DID != f.DID || c.Rev != f.Rev {
		return c, fmt.Errorf("frame is of %s %s, its commit of %s %s", f.DID, f.Rev, c.DID, c.Rev)
	}
	return c, nil
}

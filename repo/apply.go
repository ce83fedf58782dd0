package repo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// Limits of one commit, which everybody who receives its event holds it to.
//
// spec: sync#commit-events
const (
	MaxOps    = 200
	MaxBlocks = 2_000_000 // bytes of the event's archive, headers and CIDs included
	MaxRecord = 1_000_000 // bytes

	// MaxForeign is the largest record that is taken from another host, and what such a record may be changed into.
	MaxForeign = dagcbor.MaxForeignSize
)

// Why writes are refused.
var (
	ErrRecordExists  = errors.New("repo: record exists")
	ErrRecordMissing = errors.New("repo: no such record")
	ErrTooManyOps    = errors.New("repo: too many writes in one commit")
	ErrTooBig        = errors.New("repo: commit too big")
	ErrRecordTooBig  = errors.New("repo: record too big")
	ErrRev           = errors.New("repo: rev does not rise")
	ErrNoChange      = errors.New("repo: the writes change nothing") // no commit is due
)

// Action is what a write or an op does.
type Action uint8

// The actions.
const (
	ActionCreate Action = iota + 1
	ActionUpdate
	ActionDelete
)

// String is the action as events name it.
func (a Action) String() string {
	switch a {
	case ActionCreate:
		return "create"
	case ActionUpdate:
		return "update"
	case ActionDelete:
		return "delete"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Write is one change that a client asks for. Record is canonical DAG-CBOR, nil for a delete. Path and Record may be
// filled in by hand; what [Record] and [Path] make needs no more checking.
type Write struct {
	Action Action
	Path   string
	Record []byte

	ready *Record // what was checked already
}

// Op is what a commit did to one path. CID is undefined for a delete, Prev for a create.
type Op struct {
	Action    Action
	Path      string
	CID, Prev cid.Cid
}

// RecordBlock is a record as a block.
type RecordBlock struct {
	CID   cid.Cid
	Block []byte
}

// Commit is a new state with all that has to be stored and sent.
type Commit struct {
	Head     Head
	Block    []byte        // the signed commit
	Since    TID           // rev of the state before; 0: there was none
	PrevData cid.Cid       // its tree; undefined: there was none
	Diff     mst.Diff      // of the tree's nodes
	Ops      []Op          // one a path, in the order of the writes
	Records  []RecordBlock // of creates and updates, each content once
	Tree     *mst.Tree     // the tree in the new state, to Apply the next commit to once this one is stored
}

// Apply makes the commit that does these writes, reading only the nodes on the ways it changes. Writes to one path are
// taken in their order and come out as one op; an update to what is there already is no op, and when nothing is left
// the error is ErrNoChange. Nothing is checked about a record but its size; the caller sees to it that an update above
// MaxRecord replaces a record that was as large.
func Apply(head Head, writes []Write, load mst.Loader, rev TID, signer Signer) (*Commit, error) {
	if !head.CID.Defined() {
		head.Data = mst.EmptyRoot
	}
	return ApplyTree(head, mst.Open(head.Data, load), writes, rev, signer)
}

// ApplyTree is Apply for a tree kept in memory, whose root is head's. The tree stays in its state whatever happens.
func ApplyTree(head Head, tree *mst.Tree, writes []Write, rev TID, signer Signer) (*Commit, error) {
	if !head.CID.Defined() {
		head.Data = mst.EmptyRoot
	}
	if tree.Root() != head.Data {
		return nil, fmt.Errorf("repo: apply to %s: the tree is %s, the head's %s", head.DID, tree.Root(), head.Data)
	}
	if len(writes) > MaxOps {
		return nil, fmt.Errorf("%w: %d", ErrTooManyOps, len(writes))
	}
	if rev <= head.Rev {
		return nil, fmt.Errorf("%w: %s behind %s", ErrRev, rev, head.Rev)
	}
	changes, err := fold(writes)
	if err != nil {
		return nil, err
	}
	tree = tree.Clone(nil)
	c := &Commit{Tree: tree}
	if head.CID.Defined() {
		c.Since, c.PrevData = head.Rev, head.Data
	}
	if err := c.edit(tree, changes); err != nil {
		return nil, err
	}
	if len(c.Ops) == 0 {
		return nil, ErrNoChange
	}
	if c.Diff, err = tree.Commit(); err != nil {
		return nil, fmt.Errorf("commit tree of %s: %w", head.DID, err)
	}
	if c.Head, c.Block, err = sign(head.DID, rev, c.Diff.Root, signer); err != nil {
		return nil, err
	}
	if size := c.CARLen(); size > MaxBlocks {
		return nil, fmt.Errorf("%w: %d bytes of blocks", ErrTooBig, size)
	}
	return c, nil
}

// change is what all writes to one path come to.
type change struct {
	Write
	first  Action // of the first write, which says whether there is to be a record
	exists bool   // after the writes
	cid    cid.Cid
}

// fold checks the writes and folds those to one path.
func fold(writes []Write) ([]change, error) {
	changes := make([]change, 0, len(writes))
	var at map[string]int
	if len(writes) > 1 {
		at = make(map[string]int, len(writes))
	}
	for _, w := range writes {
		if err := w.check(); err != nil {
			return nil, err
		}
		if w.Action < ActionCreate || w.Action > ActionDelete || (w.Action == ActionDelete) != (len(w.Record) == 0) {
			return nil, fmt.Errorf("repo: write to %s: %s with %d bytes of record", w.Path, w.Action, len(w.Record))
		}
		if limit := sizeLimit(w.Action); len(w.Record) > limit {
			return nil, fmt.Errorf("%w: %s: %d bytes", ErrRecordTooBig, w.Path, len(w.Record))
		}
		i, again := at[w.Path]
		switch {
		case !again:
			if i = len(changes); at != nil {
				at[w.Path] = i
			}
			changes = append(changes, change{first: w.Action})
		case w.Action == ActionCreate && changes[i].exists:
			return nil, fmt.Errorf("%w: %s", ErrRecordExists, w.Path)
		case w.Action != ActionCreate && !changes[i].exists:
			return nil, fmt.Errorf("%w: %s", ErrRecordMissing, w.Path)
		}
		changes[i].Write, changes[i].exists = w, w.Action != ActionDelete
	}
	return changes, nil
}

func sizeLimit(a Action) int {
	if a == ActionUpdate {
		return MaxForeign
	}
	return MaxRecord
}

// edit brings the changes to the tree, in the order of their paths so that neighbours share ways, and lists the ops in
// the order of the writes.
func (c *Commit) edit(tree *mst.Tree, changes []change) error {
	order := make([]int, len(changes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(changes[a].Path, changes[b].Path) })
	ops := make([]Op, len(changes))
	for _, i := range order {
		ch := &changes[i]
		if ch.exists {
			ch.cid = ch.Write.cid()
		}
		prev, err := ch.apply(tree)
		switch {
		case errors.Is(err, mst.ErrExists):
			err = ErrRecordExists
		case errors.Is(err, mst.ErrMissing):
			err = ErrRecordMissing
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", ch.first, ch.Path, err)
		}
		ops[i] = Op{Path: ch.Path, CID: ch.cid, Prev: prev}
	}
	c.Ops = ops[:0]
	for i, op := range ops {
		switch {
		case op.CID == op.Prev: // also: made and gone again
			continue
		case !op.Prev.Defined():
			op.Action = ActionCreate
		case !op.CID.Defined():
			op.Action = ActionDelete
		default:
			op.Action = ActionUpdate
		}
		c.Ops = append(c.Ops, op)
		if op.CID.Defined() {
			c.addRecord(op.CID, changes[i].Record)
		}
	}
	return nil
}

// apply changes the tree and returns the value before.
func (ch *change) apply(tree *mst.Tree) (prev cid.Cid, err error) {
	switch {
	case ch.first == ActionCreate && ch.exists:
		return cid.Undef, tree.Insert(ch.Path, ch.cid)
	case ch.first == ActionCreate:
		_, found, err := tree.Get(ch.Path)
		if err == nil && found {
			err = mst.ErrExists
		}
		return cid.Undef, err
	case ch.exists:
		return tree.Update(ch.Path, ch.cid)
	default:
		return tree.Delete(ch.Path)
	}
}

func (c *Commit) addRecord(id cid.Cid, block []byte) {
	for i := range c.Records {
		if c.Records[i].CID == id {
			return
		}
	}
	c.Records = append(c.Records, RecordBlock{id, block})
}

// Init is the first commit of a repository: the empty tree.
func Init(did string, rev TID, signer Signer) (*Commit, error) {
	head, block, err := sign(did, rev, mst.EmptyRoot, signer)
	if err != nil {
		return nil, err
	}
	return &Commit{
		Head:  head,
		Block: block,
		Diff:  mst.Diff{Root: mst.EmptyRoot, New: []mst.Node{{CID: mst.EmptyRoot, Block: mst.EmptyBlock()}}},
		Tree:  mst.Open(mst.EmptyRoot, nil),
	}, nil
}

// Resign is a commit that changes nothing but rev and signature: after the account's key was changed, or its repository
// brought here.
//
// spec: repository#commit-objects
func Resign(head Head, rev TID, signer Signer) (*Commit, error) {
	if rev <= head.Rev {
		return nil, fmt.Errorf("%w: %s behind %s", ErrRev, rev, head.Rev)
	}
	next, block, err := sign(head.DID, rev, head.Data, signer)
	if err != nil {
		return nil, err
	}
	return &Commit{Head: next, Block: block, Since: head.Rev, PrevData: head.Data, Diff: mst.Diff{Root: head.Data}}, nil
}

// CARLen is the length of what AppendCAR appends.
func (c *Commit) CARLen() int {
	n := car.HeaderLen(c.Head.CID) + car.SectionLen(len(c.Block))
	for i := range c.Diff.New {
		n += car.SectionLen(len(c.Diff.New[i].Block))
	}
	for i := range c.Diff.Proof {
		n += car.SectionLen(len(c.Diff.Proof[i].Block))
	}
	for i := range c.Records {
		n += car.SectionLen(len(c.Records[i].Block))
	}
	return n
}

// AppendCAR appends the archive of the commit's event: the commit, the new nodes from the root down, the unchanged
// nodes that undoing the ops needs, the records of creates and updates.
//
// spec: sync#commit-events
func (c *Commit) AppendCAR(dst []byte) []byte {
	dst = slices.Grow(dst, c.CARLen())
	dst = car.AppendHeader(dst, c.Head.CID)
	dst = car.AppendSection(dst, c.Head.CID, c.Block)
	for i := range c.Diff.New {
		dst = car.AppendSection(dst, c.Diff.New[i].CID, c.Diff.New[i].Block)
	}
	for i := range c.Diff.Proof {
		dst = car.AppendSection(dst, c.Diff.Proof[i].CID, c.Diff.Proof[i].Block)
	}
	for i := range c.Records {
		dst = car.AppendSection(dst, c.Records[i].CID, c.Records[i].Block)
	}
	return dst
}

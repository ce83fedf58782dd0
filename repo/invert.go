package repo

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo/mst"
)

// ErrInvert says that ops do not lead to the tree they came with.
var ErrInvert = errors.New("repo: ops do not fit the tree")

// Invert undoes ops, the last one first, on a tree of which load may have only the event's nodes, and returns the root
// before them: the event's prevData, if it is honest.
//
// spec: sync#message-validation-checklist
func Invert(ops []Op, root cid.Cid, load mst.Loader) (cid.Cid, error) {
	t := mst.Partial(root, load)
	for i := len(ops) - 1; i >= 0; i-- {
		op := &ops[i]
		var is cid.Cid
		var err error
		switch {
		case op.Action == ActionCreate && op.CID.Defined() && !op.Prev.Defined():
			is, err = t.Delete(op.Path)
		case op.Action == ActionUpdate && op.CID.Defined() && op.Prev.Defined():
			is, err = t.Update(op.Path, op.Prev)
		case op.Action == ActionDelete && !op.CID.Defined() && op.Prev.Defined():
			err = t.Insert(op.Path, op.Prev)
		default:
			err = errors.New("cid and prev do not fit the action")
		}
		if err == nil && is != op.CID {
			err = fmt.Errorf("the tree has %s", is)
		}
		if err != nil {
			return cid.Undef, fmt.Errorf("%w: %s %s: %w", ErrInvert, op.Action, op.Path, err)
		}
	}
	d, err := t.Commit()
	return d.Root, err
}

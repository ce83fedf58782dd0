package repo

import (
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// Path is where a record stands, "collection/rkey". It is made by NewPath alone, so it is a valid one.
type Path struct{ text string }

// NewPath checks both parts of a path. Errors: ErrPath.
//
// spec: repository#repository-paths
func NewPath(collection, rkey string) (Path, error) {
	if err := CheckCollection(collection); err != nil {
		return Path{}, err
	}
	if err := CheckRecordKey(rkey); err != nil {
		return Path{}, err
	}
	return Path{collection + "/" + rkey}, nil
}

// String is the path as repositories have it.
func (p Path) String() string { return p.text }

// Delete is the write that removes the record.
func (p Path) Delete() Write {
	return Write{Action: ActionDelete, Path: p.text, ready: &Record{path: p}}
}

// Record is canonical DAG-CBOR with its path and its CID. Its path was checked and its block hashed when it was made,
// so Apply does neither again.
type Record struct {
	path  Path
	block []byte
	cid   cid.Cid
}

// NewRecord makes a record of a block, which is not to be changed any more.
func NewRecord(path Path, block []byte) Record {
	return Record{path, block, dagcbor.CID(block)}
}

// Path is where the record is to stand.
func (r *Record) Path() string { return r.path.text }

// Block is the record's DAG-CBOR.
func (r *Record) Block() []byte { return r.block }

// CID is the block's.
func (r *Record) CID() cid.Cid { return r.cid }

// Write is the write that makes the record, or puts it in the place of another.
func (r *Record) Write(a Action) Write {
	return Write{Action: a, Path: r.path.text, Record: r.block, ready: r}
}

// check looks at what a write names, unless that was done when it was made.
func (w *Write) check() error {
	if w.ready != nil && w.ready.path.text == w.Path {
		return nil
	}
	_, _, err := ParsePath(w.Path)
	return err
}

// cid is the CID of what is written.
func (w *Write) cid() cid.Cid {
	if r := w.ready; r != nil && len(r.block) == len(w.Record) && len(r.block) > 0 && &r.block[0] == &w.Record[0] {
		return r.cid
	}
	return dagcbor.CID(w.Record)
}

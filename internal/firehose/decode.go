package firehose

import (
	"fmt"
	"time"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/ipfs/go-cid"
)

// Frame is a decoded message; fields that its kind does not have are zero.
type Frame struct {
	Kind     Kind
	Seq      int64
	DID      string // "repo" of a #commit
	Time     time.Time
	Rev      repo.TID
	Since    repo.TID // 0: null
	Commit   cid.Cid
	PrevData cid.Cid // undefined: absent
	Blocks   []byte  // points into the frame
	Ops      []repo.Op
	Handle   string
	Active   bool
	Status   string
}

// Decode reads a frame of this server strictly: every field in its place, in canonical form, nothing more. It is for
// checks, not for others' streams.
func Decode(frame []byte) (*Frame, error) {
	d := decoder{r: dagcbor.NewReader(frame)}
	f := &Frame{}
	d.mapOf(2)
	d.key("t")
	t := d.text()
	for k := KindCommit; k <= KindAccount; k++ {
		if k.Type() == t {
			f.Kind = k
		}
	}
	d.key("op")
	if op := d.int(); d.err == nil && (op != 1 || f.Kind == 0) {
		d.err = fmt.Errorf("op %d, type %q", op, t)
	}
	switch f.Kind {
	case KindCommit:
		d.commit(f)
	case KindSync:
		d.mapOf(5)
		d.key("did")
		f.DID = d.text()
		d.key("rev")
		f.Rev = d.tid()
		d.key("seq")
		f.Seq = d.int()
		d.key("time")
		f.Time = d.time()
		d.key("blocks")
		f.Blocks = d.bytes()
	case KindIdentity:
		n := d.mapLen()
		d.account(f)
		if n == 4 {
			d.key("handle")
			f.Handle = d.text()
		} else if n != 3 {
			d.fail("fields")
		}
	case KindAccount:
		n := d.mapLen()
		d.account(f)
		d.key("active")
		f.Active = d.bool()
		if n == 5 {
			d.key("status")
			f.Status = d.text()
		} else if n != 4 {
			d.fail("fields")
		}
	}
	if d.err == nil {
		d.err = d.r.Done()
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, d.err)
	}
	return f, nil
}

// decoder keeps the first error; later reads do nothing.
type decoder struct {
	r   dagcbor.Reader
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("wrong %s at byte %d", what, d.r.Offset())
	}
}

func (d *decoder) commit(f *Frame) {
	n := d.mapLen()
	if n != 11 && n != 12 {
		d.fail("fields")
	}
	d.key("ops")
	ops := read(d, d.r.Array)
	for range ops {
		if d.err != nil {
			return
		}
		f.Ops = append(f.Ops, d.op())
	}
	d.key("rev")
	f.Rev = d.tid()
	d.key("seq")
	f.Seq = d.int()
	d.key("repo")
	f.DID = d.text()
	d.key("time")
	f.Time = d.time()
	d.key("blobs")
	if read(d, d.r.Array) != 0 {
		d.fail("blobs")
	}
	d.key("since")
	if !d.r.Null() {
		f.Since = d.tid()
	}
	d.key("blocks")
	f.Blocks = d.bytes()
	d.key("commit")
	f.Commit = read(d, d.r.Link)
	d.key("rebase")
	if d.bool() {
		d.fail("rebase")
	}
	d.key("tooBig")
	if d.bool() {
		d.fail("tooBig")
	}
	if n == 12 {
		d.key("prevData")
		f.PrevData = read(d, d.r.Link)
	}
}

func (d *decoder) op() (op repo.Op) {
	n := d.mapLen()
	d.key("cid")
	if !d.r.Null() {
		op.CID = read(d, d.r.Link)
	}
	d.key("path")
	op.Path = d.text()
	if n == 4 {
		d.key("prev")
		op.Prev = read(d, d.r.Link)
	} else if n != 3 {
		d.fail("fields")
	}
	d.key("action")
	switch d.text() {
	case "create":
		op.Action = repo.ActionCreate
	case "update":
		op.Action = repo.ActionUpdate
	case "delete":
		op.Action = repo.ActionDelete
	default:
		d.fail("action")
	}
	if op.CID.Defined() == (op.Action == repo.ActionDelete) || op.Prev.Defined() == (op.Action == repo.ActionCreate) {
		d.fail("op")
	}
	return op
}

func (d *decoder) account(f *Frame) {
	d.key("did")
	f.DID = d.text()
	d.key("seq")
	f.Seq = d.int()
	d.key("time")
	f.Time = d.time()
}

func read[T any](d *decoder, f func() (T, error)) (v T) {
	if d.err == nil {
		v, d.err = f()
	}
	return v
}

func (d *decoder) mapLen() int   { return read(d, d.r.Map) }
func (d *decoder) int() int64    { return read(d, d.r.Int) }
func (d *decoder) bool() bool    { return read(d, d.r.Bool) }
func (d *decoder) bytes() []byte { return read(d, d.r.Bytes) }
func (d *decoder) text() string  { return string(read(d, d.r.Text)) }

func (d *decoder) mapOf(n int) {
	if d.mapLen() != n {
		d.fail("fields")
	}
}

func (d *decoder) key(k string) {
	if d.err == nil {
		d.err = d.r.Key(k)
	}
}

func (d *decoder) tid() repo.TID {
	s := d.text()
	if d.err != nil {
		return 0
	}
	return read(d, func() (repo.TID, error) { return repo.ParseTID(s) })
}

func (d *decoder) time() time.Time {
	s := d.text()
	if d.err != nil {
		return time.Time{}
	}
	return read(d, func() (time.Time, error) { return time.Parse(timeFormat, s) })
}

package repodb

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
)

// holdBytes is how much of an export from a replica is held back, so that it can begin anew when the replica fails.
const holdBytes = 1 << 20

// errChangedMeanwhile: a replica failed in the middle of an export, and the repository has another commit by now.
var errChangedMeanwhile = errors.New("the repository changed while it was read from a replica that failed")

// resumed is what an export writes to. When a replica failed the export begins again on the primary. The first bytes are
// held back, so most exports are small enough to be written anew. Of a longer one, what is out is passed over: the archive of
// a commit is always the same.
type resumed struct {
	to   *spool
	held bool // bytes may be held back
	hold []byte
	of   cid.Cid // the commit
	out  int64   // bytes that were handed on
	skip int64   // of these, how many the new attempt has yet to come to
	err  error   // of the spool: another attempt would fail as well
}

// begin begins an archive, perhaps anew.
func (r *resumed) begin(of cid.Cid) error {
	if r.err != nil {
		return r.err
	}
	if r.out > 0 && !of.Equals(r.of) {
		return errChangedMeanwhile
	}
	if r.of.Defined() {
		r.held = false // the primary
	}
	r.hold, r.of, r.skip = r.hold[:0], of, r.out
	return nil
}

func (r *resumed) write(p []byte) error {
	n := min(r.skip, int64(len(p)))
	r.skip -= n
	p = p[n:]
	if r.held && len(r.hold)+len(p) <= holdBytes {
		r.hold = append(r.hold, p...)
		return nil
	}
	if err := r.release(); err != nil {
		return err
	}
	return r.hand(p)
}

// end is called behind the last byte.
func (r *resumed) end() error {
	if r.skip > 0 {
		return fmt.Errorf("%w: an export came out shorter the second time", ErrCorrupt)
	}
	return r.release()
}

// release hands on what was held back.
func (r *resumed) release() error {
	r.held = false
	err := r.hand(r.hold)
	r.hold = r.hold[:0]
	return err
}

func (r *resumed) hand(p []byte) error {
	if r.err == nil && len(p) > 0 {
		r.err = r.to.write(p)
		r.out += int64(len(p))
	}
	return r.err
}

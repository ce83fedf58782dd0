package blob

import (
	"errors"
	"sync/atomic"
)

// Tally is what became of uploads, or of reads, since the start.
type Tally struct {
	Done, Bytes int64
	// Failures of stores, by kind.
	Full, Timeout, Failed, Away, Lost int64
}

type tally struct{ done, bytes, full, timeout, failed, away, lost atomic.Int64 }

// end counts one. What is the caller's mistake is none.
func (t *tally) end(bytes int64, err error) {
	switch {
	case err == nil:
		t.done.Add(1)
		t.bytes.Add(bytes)
	case errors.Is(err, ErrStoreFull):
		t.full.Add(1)
	case errors.Is(err, ErrStoreTimeout):
		t.timeout.Add(1)
	case errors.Is(err, ErrAway):
		t.away.Add(1)
	case errors.Is(err, ErrLost):
		t.lost.Add(1)
	case errors.Is(err, ErrStore):
		t.failed.Add(1)
	}
}

func (t *tally) now() Tally {
	return Tally{t.done.Load(), t.bytes.Load(), t.full.Load(), t.timeout.Load(), t.failed.Load(), t.away.Load(), t.lost.Load()}
}

// Stats asks neither the database nor a store.
func (b *Blobs) Stats() (uploads, reads Tally) { return b.counts.uploads.now(), b.counts.reads.now() }

// Package firehose owns a tenant's event stream: building the frames, appending them inside a caller's transaction,
// numbering, listing, and waking those who wait for news.
//
// An event is stored finished: header and body as they go over the wire, except for the value of seq, which is not
// known before the last statement of the transaction and is spliced in while the frame is read ([Splice]). DAG-CBOR
// sorts a map's keys by length first, so seq never opens or ends a body and its place is an offset into the payload.
package firehose

import (
	"errors"
	"time"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// Limits of the protocol, in bytes and operations.
//
// spec: sync#commit-events
const (
	MaxFrame  = 5_000_000
	MaxBlocks = 2_000_000
	MaxOps    = 200
	MaxSync   = 10_000
)

// ErrFrame: a frame is not what this server writes.
var ErrFrame = errors.New("malformed frame")

// Kind says which message an event is. The numbers are stored.
type Kind int16

const (
	// KindNothing stands for numbers without an event: those of an account that was deleted, or passed over on purpose.
	// Rev is the number before the first.
	KindNothing  Kind = 0
	KindCommit   Kind = 1
	KindSync     Kind = 2
	KindIdentity Kind = 3
	KindAccount  Kind = 4
)

// Type is the t of the frame's header.
func (k Kind) Type() string {
	switch k {
	case KindCommit:
		return "#commit"
	case KindSync:
		return "#sync"
	case KindIdentity:
		return "#identity"
	case KindAccount:
		return "#account"
	}
	return ""
}

// Event is a message that has no number yet.
type Event struct {
	AID     int64
	Kind    Kind
	Time    time.Time // as it stands in the frame
	Rev     repo.TID  // of commits and syncs, otherwise 0
	SeqOff  int       // where the number goes in Payload
	Payload []byte    // header and body without the value of seq
}

// OpTimes is how far apart the times of two events are at least, in microseconds: each of a commit's operations can
// have one of its own. The statements in queries/tenant/ know it too.
const OpTimes = MaxOps

// Stored is an event with its number.
type Stored struct {
	Seq    int64
	TimeUS int64 // microseconds since 1970, rising with Seq on all nodes
	Event
}

// AppendFrame appends the frame as it goes over the wire.
func (s *Stored) AppendFrame(dst []byte) []byte { return Splice(dst, s.Payload, s.SeqOff, s.Seq) }

// whole tells whether the number has a place in the payload: it has none where the row is damaged.
func (s *Stored) whole() bool { return 0 <= s.SeqOff && s.SeqOff <= len(s.Payload) }

// Splice appends payload to dst with seq put in at off. Of a damaged event it makes what no reader takes for one.
func Splice(dst, payload []byte, off int, seq int64) []byte {
	off = min(max(off, 0), len(payload))
	dst = append(dst, payload[:off]...)
	dst = dagcbor.AppendInt(dst, seq)
	return append(dst, payload[off:]...)
}

// Account states that a frame may carry beside active=false.
//
// spec: account#hosting-status
const (
	StatusTakendown   = "takendown"
	StatusSuspended   = "suspended"
	StatusDeleted     = "deleted"
	StatusDeactivated = "deactivated"
)

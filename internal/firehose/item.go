package firehose

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// Item is an event on its way to the subscribers of this process: one value for all of them, made once and never
// changed.
type Item struct {
	Seq    int64
	AID    int64
	Kind   Kind
	TimeUS int64

	wire  []byte    // the frame in a WebSocket message
	frame int       // where in it the frame begins
	known time.Time // when this process read it

	decode   sync.Once // of the JSON messages, if anybody asks
	messages []Message
	did      string

	mu    sync.Mutex
	ring  *atomic.Int64 // what the JSON of its ring's events takes; nil: it is in none
	extra int64         // of it, this event's
}

// itemBytes is what an event takes besides its message.
const itemBytes = 240

// weight is what an event takes in its ring without its JSON.
func (it *Item) weight() int { return cap(it.wire) + itemBytes }

// grown counts the JSON that was made of an event, as long as it is in a ring.
func (it *Item) grown() {
	n := int64(len(it.did))
	for i := range it.messages {
		n += int64(cap(it.messages[i].wire)+len(it.messages[i].Collection)) + messageBytes
	}
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.ring != nil {
		it.extra = n
		it.ring.Add(n)
	}
}

// leave is for an event that leaves its ring.
func (it *Item) leave() {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.ring != nil {
		it.ring.Add(-it.extra)
		it.ring, it.extra = nil, 0
	}
}

// made is what the JSON of an event takes in its ring now.
func (it *Item) made() int {
	it.mu.Lock()
	defer it.mu.Unlock()
	return int(it.extra)
}

// Wire is the event as a whole WebSocket message of a server, shared by all who send it.
func (it *Item) Wire() []byte { return it.wire }

// Frame is the event's two DAG-CBOR items.
func (it *Item) Frame() []byte { return it.wire[it.frame:] }

func newItem(s *Stored, known time.Time) *Item {
	n := len(s.Payload) + dagcbor.HeadLen(uint64(s.Seq))
	it := &Item{Seq: s.Seq, AID: s.AID, Kind: s.Kind, TimeUS: s.TimeUS, known: known}
	wire := appendMessageHead(make([]byte, 0, n+maxMessageHead), opcodeBinary, n)
	it.frame = len(wire)
	it.wire = Splice(wire, s.Payload, s.SeqOff, s.Seq)
	return it
}

// The parts of RFC 6455 that a server needs to write whole messages: they are not masked, so that one message in memory
// serves every connection.
const (
	opcodeText     = 0x1
	opcodeBinary   = 0x2
	opcodePing     = 0x9
	opcodePong     = 0xA
	finalBit       = 0x80
	maxMessageHead = 10
)

// appendMessageHead appends the head of an unfragmented, unmasked message of n bytes.
//
// spec: RFC 6455 section 5.2
func appendMessageHead(dst []byte, opcode byte, n int) []byte {
	dst = append(dst, finalBit|opcode)
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
}

// Names of error and info frames.
const (
	FutureCursor    = "FutureCursor"
	ConsumerTooSlow = "ConsumerTooSlow"
	OutdatedCursor  = "OutdatedCursor"
)

// ErrorWire is an error frame in a WebSocket message. The connection is closed after it.
//
// spec: event-stream#framing
func ErrorWire(name, message string) []byte {
	b := dagcbor.AppendMapHead(nil, 1)
	b = dagcbor.AppendText(b, "op")
	b = dagcbor.AppendInt(b, -1)
	b = dagcbor.AppendMapHead(b, 2)
	b = dagcbor.AppendText(b, "error")
	b = dagcbor.AppendText(b, name)
	b = dagcbor.AppendText(b, "message")
	b = dagcbor.AppendText(b, message)
	return binaryWire(b)
}

// InfoWire is an #info frame in a WebSocket message: it has no number.
//
// spec: lexicon com.atproto.sync.subscribeRepos#info
func InfoWire(name, message string) []byte {
	b := dagcbor.AppendMapHead(nil, 2)
	b = dagcbor.AppendText(b, "t")
	b = dagcbor.AppendText(b, "#info")
	b = dagcbor.AppendText(b, "op")
	b = dagcbor.AppendInt(b, 1)
	b = dagcbor.AppendMapHead(b, 2)
	b = dagcbor.AppendText(b, "name")
	b = dagcbor.AppendText(b, name)
	b = dagcbor.AppendText(b, "message")
	b = dagcbor.AppendText(b, message)
	return binaryWire(b)
}

func binaryWire(b []byte) []byte {
	return append(appendMessageHead(nil, opcodeBinary, len(b)), b...)
}

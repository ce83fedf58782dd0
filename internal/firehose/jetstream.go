package firehose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// The same events as JSON, in the wire format of Jetstream
// (github.com/bluesky-social/jetstream): a message for each operation of a
// commit, for each identity and for each account event. #sync has none there.
//
// time_us is the event's TimeUS plus the place of the operation in its commit: it
// rises from message to message, is the same on every node and in every replay,
// and so names a message as exactly as seq does.

// Message is one JSON message of an event.
type Message struct {
	TimeUS     int64
	Collection string // "" if it is of no operation
	wire       []byte
	text       int
}

// messageBytes is what a message takes besides its texts.
const messageBytes = 72

// Wire is the message as a whole WebSocket message, shared by all who send it.
func (m *Message) Wire() []byte { return m.wire }

// Size is the length of the JSON text.
func (m *Message) Size() int { return len(m.wire) - m.text }

// Text is the JSON text.
func (m *Message) Text() []byte { return m.wire[m.text:] }

// DID is the account the event is of; it decodes the event at the first call, for
// all subscribers.
func (it *Item) DID() (string, error) {
	err := it.decoded()
	return it.did, err
}

// Messages are the event's JSON messages.
func (it *Item) Messages() ([]Message, error) {
	err := it.decoded()
	return it.messages, err
}

func (it *Item) decoded() (err error) {
	it.decode.Do(func() {
		f, e := Decode(it.Frame())
		if e != nil {
			err = fmt.Errorf("event %d: %w", it.Seq, e)
			return
		}
		it.did = f.DID
		if it.messages, e = messagesOf(f, it.TimeUS); e != nil {
			it.messages, err = nil, fmt.Errorf("event %d: %w", it.Seq, e)
		}
		it.grown()
	})
	return err
}

func messagesOf(f *Frame, us int64) ([]Message, error) {
	switch f.Kind {
	case KindCommit:
		return commitMessages(f, us)
	case KindIdentity:
		b := appendMessageStart(nil, f.DID, us, "identity")
		b = appendField(append(b, `,"identity":{`...), "did", f.DID)
		if f.Handle != "" {
			b = appendField(append(b, ','), "handle", f.Handle)
		}
		return []Message{newMessage(appendOrder(b, f), us, "")}, nil
	case KindAccount:
		b := appendMessageStart(nil, f.DID, us, "account")
		b = strconv.AppendBool(append(b, `,"account":{"active":`...), f.Active)
		b = appendField(append(b, ','), "did", f.DID)
		if f.Status != "" {
			b = appendField(append(b, ','), "status", f.Status)
		}
		return []Message{newMessage(appendOrder(b, f), us, "")}, nil
	}
	return nil, nil
}

// appendOrder ends an identity or account message.
func appendOrder(b []byte, f *Frame) []byte {
	b = strconv.AppendInt(append(b, `,"seq":`...), f.Seq, 10)
	b = appendField(append(b, ','), "time", f.Time.UTC().Format(timeFormat))
	return append(b, '}', '}')
}

func commitMessages(f *Frame, us int64) ([]Message, error) {
	records, err := recordsOf(f)
	if err != nil {
		return nil, err
	}
	out := make([]Message, 0, len(f.Ops))
	for i := range f.Ops {
		op := &f.Ops[i]
		collection, rkey, _ := strings.Cut(op.Path, "/")
		at := us + int64(i)
		b := appendMessageStart(nil, f.DID, at, "commit")
		b = appendField(append(b, `,"commit":{`...), "rev", f.Rev.String())
		b = appendField(append(b, ','), "operation", op.Action.String())
		b = appendField(append(b, ','), "collection", collection)
		b = appendField(append(b, ','), "rkey", rkey)
		if op.Action != repo.ActionDelete {
			record, ok := records[op.CID]
			if !ok {
				return nil, fmt.Errorf("%w: no block of %s", ErrFrame, op.Path)
			}
			if b, err = dagcbor.ToJSON(append(b, `,"record":`...), record); err != nil {
				return nil, fmt.Errorf("record %s: %w", op.Path, err)
			}
			b = appendField(append(b, ','), "cid", op.CID.String())
		}
		out = append(out, newMessage(append(b, '}', '}'), at, collection))
	}
	return out, nil
}

// recordsOf finds the blocks of what the commit wrote.
func recordsOf(f *Frame) (map[cid.Cid][]byte, error) {
	want := map[cid.Cid][]byte{}
	for i := range f.Ops {
		if f.Ops[i].Action != repo.ActionDelete {
			want[f.Ops[i].CID] = nil
		}
	}
	if len(want) == 0 {
		return want, nil
	}
	r, err := car.NewReader(bytes.NewReader(f.Blocks), car.Limits{})
	if err != nil {
		return nil, err
	}
	for {
		c, data, err := r.Next()
		if errors.Is(err, io.EOF) {
			return want, nil
		}
		if err != nil {
			return nil, err
		}
		if old, ok := want[c]; ok && old == nil {
			want[c] = data
		}
	}
}

func appendMessageStart(b []byte, did string, us int64, kind string) []byte {
	b = appendField(append(b, '{'), "did", did)
	b = strconv.AppendInt(append(b, `,"time_us":`...), us, 10)
	return appendField(append(b, ','), "kind", kind)
}

// appendField appends "name":"value"; name needs no escaping.
func appendField(b []byte, name, value string) []byte {
	b = append(append(append(b, '"'), name...), '"', ':')
	out, err := jsontext.AppendQuote(b, value)
	if err != nil {
		return append(b, '"', '"') // invalid UTF-8: no frame has any
	}
	return out
}

func newMessage(text []byte, us int64, collection string) Message {
	wire := appendMessageHead(make([]byte, 0, len(text)+maxMessageHead), opcodeText, len(text))
	head := len(wire)
	return Message{TimeUS: us, Collection: collection, wire: append(wire, text...), text: head}
}

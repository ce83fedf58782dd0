package firehose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
	comatproto "github.com/bluesky-social/indigo/api/atproto"
	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

var (
	at     = time.Date(2026, 3, 4, 5, 6, 7, 8_900_000, time.FixedZone("", 3600))
	atText = "2026-03-04T04:06:07.008Z"
)

const did = "did:plc:abcdefghijklmnopqrstuvwx"

// commits makes three: the first, one of three creates, one of each action.
func commits(t testing.TB) []*repo.Commit {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := keys.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	first, err := repo.Init(did, repo.NewTID(at, 7), signer)
	if err != nil {
		t.Fatal(err)
	}
	out := []*repo.Commit{first}
	nodes := mst.Blocks{}
	for _, list := range [][]repo.Write{
		{
			{Action: repo.ActionCreate, Path: "app.bsky.feed.post/3kaaaaaaaaaaa", Record: record("a")},
			{Action: repo.ActionCreate, Path: "app.bsky.feed.post/3kaaaaaaaaaab", Record: record("b")},
			{Action: repo.ActionCreate, Path: "app.bsky.actor.profile/self", Record: record("c")},
		}, {
			{Action: repo.ActionCreate, Path: "app.bsky.feed.post/3kaaaaaaaaaac", Record: record("a")},
			{Action: repo.ActionUpdate, Path: "app.bsky.actor.profile/self", Record: record("d")},
			{Action: repo.ActionDelete, Path: "app.bsky.feed.post/3kaaaaaaaaaab"},
		},
	} {
		last := out[len(out)-1]
		for _, n := range last.Diff.New {
			nodes.Add(n)
		}
		c, err := repo.Apply(last.Head, list, nodes.Load, repo.NextRev(last.Head.Rev, at), signer)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func record(text string) []byte {
	return dagcbor.AppendText(dagcbor.AppendText(dagcbor.AppendMapHead(nil, 1), "text"), text)
}

// all makes one event of each kind and shape.
func all(t testing.TB) []Event {
	c := commits(t)
	return []Event{
		NewCommit(1, c[0], at), NewCommit(1, c[1], at), NewCommit(1, c[2], at),
		NewSync(1, did, c[2].Head.Rev, c[2].Head.CID, c[2].Block, at),
		NewIdentity(1, did, "a.test", at), NewIdentity(1, did, "", at),
		NewAccount(1, did, true, "", at), NewAccount(1, did, false, StatusTakendown, at),
	}
}

var seqs = []int64{1, 23, 24, 255, 256, 65536, 1 << 32, 1<<53 - 1}

// TestFramesAreCanonical: each frame is two strict DAG-CBOR items, whatever the length of the number.
func TestFramesAreCanonical(t *testing.T) {
	for i, e := range all(t) {
		for _, seq := range seqs {
			frame := Splice(nil, e.Payload, e.SeqOff, seq)
			r := dagcbor.NewReader(frame)
			head, err := r.Skip()
			if err != nil {
				t.Fatal(err)
			}
			if err := dagcbor.Validate(head); err != nil {
				t.Errorf("event %d: header: %v", i, err)
			}
			if err := dagcbor.Validate(frame[len(head):]); err != nil {
				t.Errorf("event %d: body: %v", i, err)
			}
		}
	}
}

// indigo's type of each kind.
type message interface {
	UnmarshalCBOR(io.Reader) error
	MarshalCBOR(io.Writer) error
}

func indigoType(k Kind) message {
	switch k {
	case KindCommit:
		return new(comatproto.SyncSubscribeRepos_Commit)
	case KindSync:
		return new(comatproto.SyncSubscribeRepos_Sync)
	case KindIdentity:
		return new(comatproto.SyncSubscribeRepos_Identity)
	}
	return new(comatproto.SyncSubscribeRepos_Account)
}

// header is what NewX put before the body.
func header(k Kind) []byte { return appendHeader(nil, k) }

// TestFramesReadByOthers decodes frames with indigo's own types and writes them again: the same bytes.
func TestFramesReadByOthers(t *testing.T) {
	for i, e := range all(t) {
		for _, seq := range seqs {
			frame := Splice(nil, e.Payload, e.SeqOff, seq)
			body, ok := bytes.CutPrefix(frame, header(e.Kind))
			if !ok {
				t.Fatalf("event %d: header of %x", i, frame)
			}
			x, r := indigoType(e.Kind), bytes.NewReader(body)
			if err := x.UnmarshalCBOR(r); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
			if r.Len() != 0 {
				t.Errorf("event %d: %d bytes left", i, r.Len())
			}
			var again bytes.Buffer
			if err := x.MarshalCBOR(&again); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes(), body) {
				t.Errorf("event %d: indigo writes\n%x, we\n%x", i, again.Bytes(), body)
			}
		}
	}
}

// TestCommitFields looks at what stands in a commit's frame, with a decoder that knows nothing of us.
func TestCommitFields(t *testing.T) {
	c := commits(t)
	for i, c := range c {
		e := NewCommit(1, c, at)
		frame := Splice(nil, e.Payload, e.SeqOff, 77)
		var head, body map[string]any
		rest, err := cbor.UnmarshalFirst(frame, &head)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{"op": uint64(1), "t": "#commit"}, head); diff != "" {
			t.Error(diff)
		}
		if err := cbor.Unmarshal(rest, &body); err != nil {
			t.Fatal(err)
		}
		link := func(raw []byte) cbor.Tag { return cbor.Tag{Number: 42, Content: append([]byte{0}, raw...)} }
		var ops []any
		for _, op := range c.Ops {
			m := map[string]any{"action": op.Action.String(), "path": op.Path, "cid": nil}
			if op.CID.Defined() {
				m["cid"] = link(op.CID.Bytes())
			}
			if op.Prev.Defined() {
				m["prev"] = link(op.Prev.Bytes())
			}
			ops = append(ops, m)
		}
		want := map[string]any{
			"seq": uint64(77), "repo": did, "rev": c.Head.Rev.String(), "since": nil, "time": atText,
			"commit": link(c.Head.CID.Bytes()), "blobs": []any{}, "rebase": false, "tooBig": false,
			"blocks": c.AppendCAR(nil), "ops": ops,
		}
		if i == 0 {
			want["ops"] = []any{}
		} else {
			want["since"] = c.Since.String()
			want["prevData"] = link(c.PrevData.Bytes())
		}
		if diff := cmp.Diff(want, normal(body)); diff != "" {
			t.Errorf("commit %d: %s", i, diff)
		}
	}
}

// normal turns the generic decoder's map[any]any into map[string]any.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[any]any:
		out := map[string]any{}
		for k, x := range v {
			out[k.(string)] = normal(x)
		}
		return out
	}
	return v
}

// TestAccountAndIdentity checks the small frames by indigo's types.
func TestAccountAndIdentity(t *testing.T) {
	read := func(e Event) message {
		x := indigoType(e.Kind)
		if err := x.UnmarshalCBOR(bytes.NewReader(Splice(nil, e.Payload, e.SeqOff, 5)[len(header(e.Kind)):])); err != nil {
			t.Fatal(err)
		}
		return x
	}
	handle, status := "a.test", StatusTakendown
	if diff := cmp.Diff(message(&comatproto.SyncSubscribeRepos_Identity{Did: did, Handle: &handle, Seq: 5, Time: atText}),
		read(NewIdentity(1, did, handle, at))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(message(&comatproto.SyncSubscribeRepos_Account{Did: did, Active: false, Status: &status, Seq: 5, Time: atText}),
		read(NewAccount(1, did, false, status, at))); diff != "" {
		t.Error(diff)
	}
	if got := read(NewAccount(1, did, true, "", at)).(*comatproto.SyncSubscribeRepos_Account); !got.Active || got.Status != nil {
		t.Errorf("%+v", got)
	}
}

// TestDecode reads back what was built, and refuses every change of a byte that indigo would not call another valid
// frame, and every cut.
func TestDecode(t *testing.T) {
	for i, e := range all(t) {
		frame := Splice(nil, e.Payload, e.SeqOff, 1000)
		f, err := Decode(frame)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if f.Kind != e.Kind || f.Seq != 1000 || f.DID != did || f.Rev != e.Rev || f.Time.UnixMilli() != at.UnixMilli() {
			t.Errorf("event %d: %+v", i, f)
		}
		for n := range frame {
			if _, err := Decode(frame[:n]); !errors.Is(err, ErrFrame) {
				t.Fatalf("event %d cut at %d: %v", i, n, err)
			}
		}
		if _, err := Decode(append(bytes.Clone(frame), 0)); !errors.Is(err, ErrFrame) {
			t.Errorf("event %d with a byte more: %v", i, err)
		}
	}
	c := commits(t)[2]
	e := NewCommit(1, c, at)
	f, err := Decode(Splice(nil, e.Payload, e.SeqOff, 9))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(f.Ops) != fmt.Sprint(c.Ops) || f.Since != c.Since || f.PrevData != c.PrevData || f.Commit != c.Head.CID {
		t.Errorf("%+v", f)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range all(f) {
		f.Add(Splice(nil, e.Payload, e.SeqOff, 1000))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Decode(b); err != nil && !errors.Is(err, ErrFrame) {
			t.Error(err)
		}
	})
}

func BenchmarkNewCommit(b *testing.B) {
	c := commits(b)[2]
	b.ReportAllocs()
	for b.Loop() {
		NewCommit(1, c, at)
	}
}

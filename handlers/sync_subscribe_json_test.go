package handlers

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// message is what Jetstream's clients read.
type message struct {
	DID    string `json:"did"`
	TimeUS int64  `json:"time_us"`
	Kind   string `json:"kind"`
	Commit *struct {
		Rev, Operation, Collection, Rkey, CID string
		Record                                json.RawMessage
	} `json:"commit"`
	Identity *struct {
		DID, Handle, Time string
		Seq               int64
	} `json:"identity"`
	Account *struct {
		Active            bool
		DID, Status, Time string
		Seq               int64
	} `json:"account"`
}

func (s *openStream) message() (m message) {
	s.t.Helper()
	kind, b, err := s.conn.Read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil || kind != websocket.MessageText {
		s.t.Fatalf("%v %s", err, b)
	}
	return m
}

func (m message) String() string {
	if m.Commit != nil {
		return m.Commit.Operation + " " + m.Commit.Collection + "/" + m.Commit.Rkey
	}
	return m.Kind
}

func TestSubscribeJSON(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.stream(hostA, "/subscribe")
	likes := h.stream(hostA, "/subscribe?wantedCollections=app.bsky.feed.like&wantedCollections=app.bsky.graph.*")
	alice := h.createAccount(hostA, "alice")
	if m := all.message(); m.Kind != "identity" || m.Identity.Handle != "alice."+hostA || m.Identity.Seq != 1 || m.DID != alice.did {
		t.Errorf("%+v", m)
	}
	if m := all.message(); m.Kind != "account" || !m.Account.Active || m.Account.Seq != 2 {
		t.Errorf("%+v", m)
	}
	bobs := h.stream(hostA, "/subscribe?wantedDids=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")
	small := h.stream(hostA, "/subscribe?maxMessageSizeBytes=900")
	alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "com.example.post", "rkey": "a", "value": exampleRecord("é <&> \u2028")},
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "com.example.post", "rkey": "b", "value": exampleRecord(strings.Repeat("x", 1000))},
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.graph.block", "rkey": "3jzfcijpj2z2c", "value": obj{"$type": "app.bsky.graph.block", "subject": alice.did, "createdAt": createdAt}},
	}}).ok()
	alice.del("com.example.post", "b").ok()
	var times []int64
	var got []string
	for range 4 {
		m := all.message()
		times, got = append(times, m.TimeUS), append(got, m.String())
		if m.Commit.Rkey == "a" && !strings.Contains(string(m.Commit.Record), `"text":"é <&> `) {
			t.Errorf("%s", m.Commit.Record)
		}
		if (m.Commit.Operation == "delete") != (m.Commit.CID == "" && m.Commit.Record == nil) {
			t.Errorf("%+v", m.Commit)
		}
	}
	want := "create com.example.post/a, create com.example.post/b, create app.bsky.graph.block/3jzfcijpj2z2c, delete com.example.post/b"
	if strings.Join(got, ", ") != want {
		t.Error(got)
	}
	for i := 1; i < len(times); i++ {
		if times[i] <= times[i-1] {
			t.Error("times do not rise:", times)
		}
	}
	// Each time is a cursor: from exactly this message on.
	for i, us := range times {
		s := h.stream(hostA, "/subscribe?cursor="+strconv.FormatInt(us, 10))
		for _, text := range strings.Split(want, ", ")[i:] {
			if m := s.message(); m.String() != text {
				t.Errorf("cursor %d: %s, want %s", i, m, text)
			}
		}
	}
	for s, texts := range map[*openStream][]string{
		likes: {"identity", "account", "create app.bsky.graph.block/3jzfcijpj2z2c"},
		small: {"create com.example.post/a", "create app.bsky.graph.block/3jzfcijpj2z2c", "delete com.example.post/b"},
	} {
		for _, text := range texts {
			if m := s.message(); m.String() != text {
				t.Errorf("%s, want %s", m, text)
			}
		}
	}
	// The filter is replaced on the way; a message that is none ends the stream.
	update, err := json.Marshal(obj{"type": "options_update", "payload": obj{"wantedDids": list{alice.did}}})
	if err != nil {
		t.Fatal(err)
	}
	hello := h.stream(hostA, "/subscribe?requireHello=true&cursor="+strconv.FormatInt(times[3], 10))
	for _, s := range []*openStream{bobs, hello} {
		if err := s.conn.Write(t.Context(), websocket.MessageText, update); err != nil {
			t.Fatal(err)
		}
	}
	if m := hello.message(); m.String() != "delete com.example.post/b" {
		t.Error("after the hello:", m)
	}
	time.Sleep(100 * time.Millisecond)
	alice.create("com.example.post", "d", exampleRecord("d")).ok()
	if m := bobs.message(); m.String() != "create com.example.post/d" {
		t.Error("after the update:", m)
	}
	if err := bobs.conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"nonsense"}`)); err != nil {
		t.Fatal(err)
	}
	bobs.ends(websocket.StatusPolicyViolation, time.Minute)
}

// Command judge follows a tenant's stream and judges each event as indigo's relay does in its strict mode, with the relay's own
// functions for commits. It comes again with its cursor whenever the connection ends. It says on standard output, a JSON object
// a line, what it saw and what it complains of. A line on standard input is another name of the host from then on.
//
// It is a module of its own, so that the server's module has none of what it needs.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/bluesky-social/indigo/api/atproto"
	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/bluesky-social/indigo/atproto/repo"
	"github.com/coder/websocket"
	"github.com/fxamacker/cbor/v2"
)

func main() {
	front := flag.String("front", "", "address to connect to")
	host := flag.String("host", "", "host, with port, to ask for")
	plc := flag.String("plc", "", "URL of the directory of DIDs")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // indigo says there what it does not check
	r := &relay{plc: *plc, front: *front, host: *host, known: map[string]*followed{}, cursor: -1, out: json.NewEncoder(os.Stdout)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel() // whoever started this is gone
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			r.mu.Lock()
			r.host = in.Text()
			r.mu.Unlock()
		}
	}()
	for ctx.Err() == nil {
		_ = r.follow(ctx) // the connection's end is no complaint
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// word is a line of output.
type word struct {
	Type      string `json:"type,omitempty"` // connected, commit, sync, account, identity
	DID       string `json:"did,omitempty"`
	Rev       string `json:"rev,omitempty"`
	Seq       int64  `json:"seq,omitempty"`
	Status    string `json:"status,omitempty"` // of an account that is not active
	Complaint string `json:"complaint,omitempty"`
}

type relay struct {
	plc, front string

	mu     sync.Mutex
	host   string
	cursor int64
	known  map[string]*followed // by DID
	out    *json.Encoder
}

// followed is what is known of an account.
type followed struct {
	rev, data string
	inactive  string
}

func (r *relay) say(w word) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.out.Encode(w)
}

// follow reads one connection to its end.
func (r *relay) follow(ctx context.Context) error {
	r.mu.Lock()
	url := "ws://" + r.host + "/xrpc/com.atproto.sync.subscribeRepos"
	if r.cursor >= 0 {
		url += fmt.Sprintf("?cursor=%d", r.cursor)
	}
	r.mu.Unlock()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, r.front)
	}}
	defer transport.CloseIdleConnections()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return err
	}
	defer c.CloseNow()
	c.SetReadLimit(8 << 20)
	r.say(word{Type: "connected"})
	for {
		_, frame, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if err := r.judge(ctx, frame); err != nil {
			r.say(word{Complaint: err.Error()})
		}
	}
}

func (r *relay) judge(ctx context.Context, frame []byte) error {
	var header struct {
		Op   int    `cbor:"op"`
		Type string `cbor:"t"`
	}
	body, err := cbor.UnmarshalFirst(frame, &header)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if header.Op != 1 {
		return fmt.Errorf("error frame: %q", body)
	}
	in := bytes.NewReader(body)
	switch header.Type {
	case "#commit":
		var m atproto.SyncSubscribeRepos_Commit
		if err := m.UnmarshalCBOR(in); err != nil {
			return err
		}
		return errors.Join(r.next(m.Seq), r.commit(ctx, &m))
	case "#sync":
		var m atproto.SyncSubscribeRepos_Sync
		if err := m.UnmarshalCBOR(in); err != nil {
			return err
		}
		return errors.Join(r.next(m.Seq), r.sync(ctx, &m))
	case "#account":
		var m atproto.SyncSubscribeRepos_Account
		if err := m.UnmarshalCBOR(in); err != nil {
			return err
		}
		return errors.Join(r.next(m.Seq), r.account(&m))
	case "#identity":
		var m atproto.SyncSubscribeRepos_Identity
		if err := m.UnmarshalCBOR(in); err != nil {
			return err
		}
		r.say(word{Type: "identity", DID: m.Did, Seq: m.Seq})
		return r.next(m.Seq)
	case "#info":
		return errors.New("#info: the cursor is too old")
	}
	return fmt.Errorf("unknown event %q", header.Type)
}

func (r *relay) next(seq int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq <= r.cursor {
		return fmt.Errorf("seq %d behind %d", seq, r.cursor)
	}
	r.cursor = seq
	return nil
}

func (r *relay) of(did string) *followed {
	if r.known[did] == nil {
		r.known[did] = &followed{}
	}
	return r.known[did]
}

func (r *relay) commit(ctx context.Context, m *atproto.SyncSubscribeRepos_Commit) error {
	if err := r.signature(ctx, m.Repo, m.Blocks); err != nil {
		return fmt.Errorf("commit of %s, seq %d: %w", m.Repo, m.Seq, err)
	}
	if _, err := repo.VerifyCommitMessage(ctx, m); err != nil {
		return fmt.Errorf("commit of %s, seq %d: %w", m.Repo, m.Seq, err)
	}
	head, _, err := repo.LoadCommitFromCAR(ctx, bytes.NewReader(m.Blocks))
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(m.Repo)
	_ = r.out.Encode(word{Type: "commit", DID: m.Repo, Rev: m.Rev, Seq: m.Seq})
	defer func() { a.rev, a.data = m.Rev, head.Data.String() }()
	switch {
	case a.inactive != "":
		return fmt.Errorf("commit of %s, seq %d: the account is %s", m.Repo, m.Seq, a.inactive)
	case a.rev == "":
		return nil
	case m.Rev <= a.rev:
		return fmt.Errorf("commit of %s, seq %d: rev %s is not behind %s", m.Repo, m.Seq, m.Rev, a.rev)
	case m.PrevData == nil || m.PrevData.String() != a.data:
		return fmt.Errorf("commit of %s, seq %d: prevData is not %s", m.Repo, m.Seq, a.data)
	case m.Since == nil || *m.Since != a.rev:
		return fmt.Errorf("commit of %s, seq %d: since is not %s", m.Repo, m.Seq, a.rev)
	}
	return nil
}

func (r *relay) sync(ctx context.Context, m *atproto.SyncSubscribeRepos_Sync) error {
	if err := r.signature(ctx, m.Did, m.Blocks); err != nil {
		return fmt.Errorf("sync of %s, seq %d: %w", m.Did, m.Seq, err)
	}
	head, _, err := repo.LoadCommitFromCAR(ctx, bytes.NewReader(m.Blocks))
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(m.Did)
	_ = r.out.Encode(word{Type: "sync", DID: m.Did, Rev: m.Rev, Seq: m.Seq})
	if m.Rev < a.rev {
		return fmt.Errorf("sync of %s, seq %d: rev %s before %s", m.Did, m.Seq, m.Rev, a.rev)
	}
	a.rev, a.data = m.Rev, head.Data.String()
	return nil
}

func (r *relay) account(m *atproto.SyncSubscribeRepos_Account) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(m.Did)
	a.inactive = ""
	if !m.Active {
		a.inactive = "inactive"
		if m.Status != nil {
			a.inactive = *m.Status
		}
	}
	_ = r.out.Encode(word{Type: "account", DID: m.Did, Seq: m.Seq, Status: a.inactive})
	return nil
}

// signature checks the commit with the key that the directory has for the account now.
func (r *relay) signature(ctx context.Context, did string, blocks []byte) error {
	head, _, err := repo.LoadCommitFromCAR(ctx, bytes.NewReader(blocks))
	if err != nil {
		return err
	}
	if err := head.VerifyStructure(); err != nil {
		return err
	}
	data, err := r.document(ctx, did)
	if err != nil {
		return err
	}
	key, err := atcrypto.ParsePublicDIDKey(data.VerificationMethods["atproto"])
	if err != nil {
		return err
	}
	return head.VerifySignature(key)
}

// plcData is what the directory knows of a DID.
type plcData struct {
	VerificationMethods map[string]string
	AlsoKnownAs         []string
	Services            map[string]struct{ Endpoint string }
}

func (r *relay) document(ctx context.Context, did string) (out plcData, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.plc+"/"+did+"/data", nil)
	if err != nil {
		return out, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return out, fmt.Errorf("the directory answers %d for %s", resp.StatusCode, did)
	}
	return out, json.NewDecoder(resp.Body).Decode(&out)
}

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// load is one way in which a tenant is busy.
type load struct {
	records bool // its accounts have many
	// request is the next that a client sends; do is what a client does that sends no requests.
	request func(*noise) []byte
	do      func(*noise, context.Context) error
	// depth is how many requests are sent ahead; 0: as usual.
	depth int
	// clients is how many there are; 0: as many as is asked for.
	clients int
	// beside runs all the time.
	beside func(*noise, context.Context)
}

// loads are the kinds by name.
var loads = map[string]load{
	"writes":    {request: (*noise).newRecord},
	"reads":     {request: (*noise).oneRecord},
	"exports":   {records: true, request: (*noise).wholeRepo},
	"passwords": {request: (*noise).guess},
	"uploads":   {request: (*noise).file, depth: 2},
	"proxied":   {request: (*noise).timeline, beside: (*noise).serveTimelines},
	// Subscribers that sit still; that get what four clients write; that begin at the oldest event, again and again.
	"idle":        {clients: 900, do: (*noise).follow},
	"subscribers": {clients: 900, do: (*noise).follow, beside: (*noise).writeOn},
	"replays":     {records: true, do: (*noise).replay},
}

func loadNames() []string { return slices.Sorted(maps.Keys(loads)) }

// noise is the load's own program. What it is told comes as JSON on its standard input, whose end is its end.
type noise struct {
	*field  `json:"-"`
	Kind    string
	Address string // of the server
	View    string // where the app view is to listen
	Clients int
	Loud    []told

	accounts       []writer
	streams, bytes atomic.Int64 // that were opened, and what came
}

type told struct{ Host, DID, Token string }

// tally is what the clients got done.
type tally struct {
	Done, Refused  int64
	Streams, Bytes int64
	Err            string
}

func (t tally) plus(o tally) tally {
	t.Done, t.Refused = t.Done+o.Done, t.Refused+o.Refused
	t.Streams, t.Bytes = t.Streams+o.Streams, t.Bytes+o.Bytes
	if t.Err == "" {
		t.Err = o.Err
	}
	return t
}

func (t tally) text(in time.Duration) string {
	text := fmt.Sprintf("%.0f/s", float64(t.Done)/in.Seconds())
	if t.Streams > 0 {
		text = fmt.Sprintf("%d streams opened, %.1f MB/s", t.Streams, float64(t.Bytes)/1e6/in.Seconds())
	}
	if t.Refused > 0 {
		text += fmt.Sprintf(", refused %.0f/s, such as %.200s", float64(t.Refused)/in.Seconds(), t.Err)
	}
	return text
}

// running is a load that goes on.
type running struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out bytes.Buffer
}

// startLoad starts the load's program, which stands behind what is measured.
func (f *field) startLoad(ctx context.Context, kind string, loud []writer) (*running, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := noise{Kind: kind, Address: f.address, View: f.upstream, Clients: f.plan.neighbours.clients}
	if c := loads[kind].clients; c > 0 {
		n.Clients = c
	}
	for _, w := range loud {
		n.Loud = append(n.Loud, told{w.host, w.did, w.token})
	}
	spec, err := json.Marshal(&n)
	if err != nil {
		return nil, err
	}
	r := &running{cmd: exec.CommandContext(ctx, "nice", "-n", fmt.Sprint(behind), self, "-dir", f.dir, "load")}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, os.Stderr
	ownSession(r.cmd)
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	setGroup(r.cmd.Process.Pid, niceness()+behind)
	_, err = r.in.Write(append(spec, '\n'))
	return r, err
}

func (r *running) end() (t tally, err error) {
	_ = r.in.Close()
	if err := r.cmd.Wait(); err != nil {
		return t, fmt.Errorf("the load's program: %w", err)
	}
	return t, json.Unmarshal(r.out.Bytes(), &t)
}

// loadProgram is the load's own program.
func loadProgram(ctx context.Context) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	n := noise{field: &field{}}
	if err := json.Unmarshal(line, &n); err != nil {
		return err
	}
	for _, t := range n.Loud {
		n.accounts = append(n.accounts, writer{t.Host, t.DID, t.Token})
	}
	n.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1000, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, n.Address)
	}}}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	return json.NewEncoder(os.Stdout).Encode(n.run(ctx))
}

func (n *noise) run(ctx context.Context) (t tally) {
	kind := loads[n.Kind]
	var all sync.WaitGroup
	if kind.beside != nil {
		all.Go(func() { kind.beside(n, ctx) })
		wait(ctx, 100*time.Millisecond) // an app view listens
	}
	var mu sync.Mutex
	for range n.Clients {
		all.Go(func() {
			var mine tally
			if kind.request != nil {
				mine = n.pump(ctx, cmp.Or(kind.depth, depth), func() []byte { return kind.request(n) })
			}
			for kind.do != nil && ctx.Err() == nil {
				err := kind.do(n, ctx)
				switch {
				case ctx.Err() != nil:
				case err == nil:
					mine.Done++
				default:
					mine.Refused, mine.Err = mine.Refused+1, err.Error()
					wait(ctx, 20*time.Millisecond)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			t = t.plus(mine)
		})
	}
	all.Wait()
	t.Streams, t.Bytes = n.streams.Load(), n.bytes.Load()
	return t
}

func (n *noise) some() writer { return n.accounts[rand.IntN(len(n.accounts))] }

func (n *noise) newRecord() []byte {
	w := n.some()
	body, _ := json.Marshal(map[string]any{"repo": w.did, "collection": post, "record": newPost()}) // it can be encoded
	return raw(http.MethodPost, w.host, "/xrpc/com.atproto.repo.createRecord", bearer(w)+ofJSON, body)
}

func (n *noise) oneRecord() []byte {
	w := n.some()
	return raw(http.MethodGet, w.host, profile+w.did, "", nil)
}

func (n *noise) wholeRepo() []byte {
	w := n.some()
	return raw(http.MethodGet, w.host, "/xrpc/com.atproto.sync.getRepo?did="+w.did, "", nil)
}

// guess tries a password from another address each time, or it would have to wait before anything is hashed.
func (n *noise) guess() []byte {
	host := n.accounts[0].host
	body := fmt.Sprintf(`{"identifier":"nobody%d.%s.test","password":"wrong"}`, rand.IntN(1e9), host[:6])
	from := fmt.Sprintf("X-Forwarded-For: 203.%d.%d.%d\r\n", rand.IntN(256), rand.IntN(256), rand.IntN(256))
	return raw(http.MethodPost, host, "/xrpc/com.atproto.server.createSession", from+ofJSON, []byte(body))
}

const fileBytes = 256 << 10

func (n *noise) file() []byte {
	w := n.some()
	body := bytes.Repeat([]byte("a file that is no picture "), fileBytes/26+1)[:fileBytes]
	copy(body, fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()))
	return raw(http.MethodPost, w.host, "/xrpc/com.atproto.repo.uploadBlob", bearer(w)+ofBinary, body)
}

func (n *noise) timeline() []byte {
	w := n.some()
	return raw(http.MethodGet, w.host, "/xrpc/app.bsky.feed.getTimeline?limit=50", bearer(w), nil)
}

// serveTimelines is the app view: it answers at once, with as much as a timeline is.
func (n *noise) serveTimelines(ctx context.Context) {
	answer := []byte(`{"feed":[],"filler":"` + strings.Repeat("x", 40<<10) + `"}`)
	var l net.Listener
	var err error
	for { // the last one may still be leaving
		if l, err = net.Listen("tcp", n.View); !errors.Is(err, syscall.EADDRINUSE) || ctx.Err() != nil {
			break
		}
		wait(ctx, 10*time.Millisecond)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "no app view: %v\n", err)
		return
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})}
	go func() {
		<-ctx.Done()
		_ = s.Close()
	}()
	_ = s.Serve(l)
}

// follow is a subscriber at the end of the stream, until the load ends.
func (n *noise) follow(ctx context.Context) error { return n.subscribe(ctx, "", math.MaxInt64) }

// replay begins at the oldest event and leaves after a megabyte.
func (n *noise) replay(ctx context.Context) error { return n.subscribe(ctx, "?cursor=0", 1<<20) }

// subscribe reads a stream without looking at it, which costs the load's program least. A stream lasts a minute and more
// without an answer to a ping.
func (n *noise) subscribe(ctx context.Context, query string, most int64) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	if _, err := c.Write(raw(http.MethodGet, n.accounts[0].host, "/xrpc/com.atproto.sync.subscribeRepos"+query, upgrade, nil)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, 64<<10)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("%s %s", resp.Status, text)
	}
	n.streams.Add(1)
	for got := int64(0); got < most; {
		some, err := io.CopyN(io.Discard, in, min(most-got, 64<<10))
		n.bytes.Add(some)
		if err != nil {
			return err
		}
		got += some
	}
	return nil
}

// writeOn has four clients write.
func (n *noise) writeOn(ctx context.Context) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = n.write(ctx, n.some())
			}
		})
	}
	all.Wait()
}

package handlers

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// s3Wire stands between the server and S3, and does to connections what networks do.
type s3Wire struct {
	to    string
	mu    sync.Mutex
	state string // "": passes, "away": resets at once, "stalls": takes and says nothing, "breaks": resets after 100 KB of answer
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// set breaks what is connected; what connects then meets the new state.
func (p *s3Wire) set(state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *s3Wire) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *s3Wire) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *s3Wire) serve(c net.Conn) {
	p.keep(c)
	defer p.drop(c)
	p.mu.Lock()
	state := p.state
	p.mu.Unlock()
	switch state {
	case "away":
		_ = c.(*net.TCPConn).SetLinger(0)
		return
	case "stalls":
		_, _ = io.Copy(io.Discard, c)
		return
	}
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	p.keep(s)
	defer p.drop(s)
	p.wg.Go(func() { _, _ = io.Copy(s, c); _ = s.Close() })
	if state == "breaks" {
		_, _ = io.CopyN(c, s, 100_000)
		_ = c.(*net.TCPConn).SetLinger(0)
		return
	}
	_, _ = io.Copy(c, s)
}

// s3House is a house whose files are in S3, behind a wire.
func s3House(t *testing.T, settings map[string]string) (h *house, p *s3Wire, endpoint string) {
	t.Helper()
	endpoint, stop, err := blobtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	location, err := blobtest.Bucket(t.Context(), endpoint, "files")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &s3Wire{to: strings.TrimPrefix(endpoint, "http://"), conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.set("away"); p.wg.Wait() })
	h = newHouseWith(t, houseOptions{settings: settings, blobs: blob.Config{
		Location:  strings.Replace(location, endpoint, "http://"+l.Addr().String(), 1),
		StoreTime: 6 * time.Second,
		Stores: blob.StoreConfig{
			S3:        blob.Credentials{AccessKey: blobtest.AccessKey, SecretKey: blobtest.SecretKey},
			StallTime: 300 * time.Millisecond,
		},
	}})
	return h, p, endpoint
}

// TestBlobsWithoutS3: while S3 is away or says nothing, uploads and downloads are refused by name, the rest works, and
// when it is back they work again. Nothing is left of what was refused.
func TestBlobsWithoutS3(t *testing.T) {
	h, p, endpoint := s3House(t, nil)
	h.log.allowed.Store(true) // what S3 did is hidden from clients, and logged
	alice := h.createAccount(hostA, "alice")
	data := randomBytes(1_000_000)
	b := alice.uploaded(data)
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": custom, "record": obj{"file": b}}).ok()
	small := photo(t, 600, 600)
	picture := alice.uploaded(small)
	alice.create("app.bsky.feed.post", "", imagePost("x", picture)).ok()
	inStore := func() int {
		t.Helper()
		n, err := blobtest.Objects(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	refused := [][]byte{}
	for _, one := range []struct {
		state  string
		status int
		name   string
	}{{"away", http.StatusBadGateway, "UpstreamFailure"}, {"stalls", http.StatusGatewayTimeout, "UpstreamTimeout"}} {
		p.set(one.state)
		h.clock.add(time.Minute) // the log has a line a minute
		before := h.log.elsewhere()
		begun := time.Now()
		var calls sync.WaitGroup
		for _, call := range []func() reply{
			func() reply { return alice.blobFile(refOf(b)) },
			func() reply { return alice.blobFile(refOf(b), "Range: bytes=5-9") },
			func() reply { return alice.variant("feed", refOf(picture), "@webp") },
		} {
			calls.Go(func() {
				r := call()
				r.fails(one.status, one.name, "The file store")
				if strings.Contains(r.header.Get("Cache-Control"), "public") || strings.Contains(string(r.body), "127.0.0.1") {
					t.Errorf("%s: %v %s", r.what, r.header, r.body)
				}
			})
		}
		for _, n := range []int{1000, 300_000, 20 << 18} { // in memory, in a file, and as large as may be
			again := randomBytes(n)
			refused = append(refused, again)
			calls.Go(func() { alice.upload(again).fails(one.status, one.name, "The file store") })
		}
		// What needs no store works meanwhile.
		alice.create("app.bsky.feed.post", "", postRecord("S3 "+one.state)).ok()
		if r := alice.blobFile(refOf(b), "If-None-Match: \"x\"", "Range: bytes=0-0"); r.status != one.status {
			t.Errorf("%s: %d", one.state, r.status)
		}
		calls.Wait()
		t.Logf("%s: all refused in %s", one.state, time.Since(begun).Round(time.Millisecond))
		if n := h.log.elsewhere() - before; n < 1 || n > 4 {
			t.Errorf("%s: %d lines about the cause", one.state, n)
		}
		if n := alice.count("SELECT count(*) FROM pds.blob"); n != 2 {
			t.Errorf("%s: %d rows", one.state, n)
		}
	}
	// A download that breaks in the middle each time ends in the middle: no client takes it for whole.
	p.set("breaks")
	if r, err := h.try("GET", hostA, "/xrpc/com.atproto.sync.getBlob"+params("did", alice.did, "cid", refOf(b)), nil); err == nil || r.status != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("broken download: %d, %d bytes of %d, %v", r.status, len(r.body), len(data), err)
	}
	p.set("")
	if r := alice.blobFile(refOf(b)).ok(); !bytes.Equal(r.body, data) {
		t.Errorf("%d bytes", len(r.body))
	}
	alice.variant("feed", refOf(picture), "@webp").ok()
	for i, again := range refused {
		if got := alice.uploaded(again); refOf(got) != dagcbor.RawCID(again).String() {
			t.Errorf("upload %d: %v", i, got)
		}
	}
	alice.usageIsTrue()
	h.clock.add(3 * time.Hour) // what a failed upload may have left is deleted then
	alice.emptyTrash()
	if rows, n := alice.count("SELECT count(*) FROM pds.blob"), inStore(); rows != int64(2+len(refused)) || n != int(rows) {
		t.Errorf("%d rows, %d objects", rows, n)
	}
	alice.soundBlobs()
}

// soundBlobs fails on whatever verify finds.
func (u *user) soundBlobs() {
	u.t.Helper()
	_, err := u.blobs.Verify(u.t.Context(), u.tenant().Schema, blob.VerifyOptions{Deep: true, Young: time.Nanosecond}, func(p blob.Problem) error {
		u.t.Errorf("verify: %+v", p)
		return nil
	})
	if err != nil {
		u.t.Error(err)
	}
}

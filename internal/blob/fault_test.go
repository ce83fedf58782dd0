package blob

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// troubled stands before S3 and does what networks and services do.
type troubled struct {
	mode  atomic.Pointer[string]
	after atomic.Int64 // requests that go through before the trouble
	seen  atomic.Int64
	until chan struct{}
}

func (p *troubled) set(mode string, after int64) {
	p.mode.Store(&mode)
	p.after.Store(after)
	p.seen.Store(0)
}

// trouble gives the location of a bucket with troubles.
func trouble(t *testing.T) (*troubled, string) {
	t.Helper()
	location := s3Bucket(t)
	target, err := url.Parse(s3Server.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &troubled{until: make(chan struct{})}
	p.set("", 0)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	pass := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mode := *p.mode.Load()
		if p.seen.Add(1) <= p.after.Load() {
			mode = ""
		}
		switch mode {
		case "stall": // takes everything, says nothing
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-p.until:
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		case "deaf": // does not even read
			select {
			case <-p.until:
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		case "503":
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `<Error><Code>SlowDown</Code><Message>later</Message></Error>`)
		case "cut":
			pass.ServeHTTP(&cutting{ResponseWriter: w, left: 100_000}, r)
		case "lost": // it happens, and nobody hears of it
			pass.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() { close(p.until); server.CloseClientConnections(); server.Close() })
	return p, strings.Replace(location, s3Server.endpoint, server.URL, 1)
}

// cutting ends the connection in the middle of a body.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

func TestTroubledS3(t *testing.T) {
	p, location := trouble(t)
	b := newBed(t, location)
	b.stall, b.patience = 300*time.Millisecond, 3*time.Second
	b.blobs = b.open(location)
	alice := b.account()
	data := random(1_000_000)
	info := b.upload(alice, data)
	b.mustWrite(alice, "a", record("a", info))

	// Downloads: a stalled one ends, a cut one goes on where it ended.
	p.set("stall", 0)
	if _, err := b.read(alice, info.CID); !errors.Is(err, ErrStoreTimeout) {
		t.Errorf("stalled: %v", err)
	}
	b.answer = 500 * time.Millisecond // less than two tries take
	hasty := b.open(location)
	if _, err := hasty.Open(t.Context(), b.schema, alice.AID, info.CID); !errors.Is(err, ErrStoreTimeout) {
		t.Errorf("stalled: %v", err)
	}
	p.set("503", 0)
	if _, err := b.read(alice, info.CID); !errors.Is(err, ErrStore) {
		t.Errorf("503: %v", err)
	}
	p.set("cut", 0)
	if _, err := b.read(alice, info.CID); !errors.Is(err, ErrStore) {
		t.Errorf("always cut: %v", err)
	}
	f, err := b.blobs.Open(t.Context(), b.schema, alice.AID, info.CID)
	if err != nil {
		t.Fatal(err)
	}
	p.set("", 0) // the connection that is there is still cut
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
		t.Errorf("cut once: %d bytes, %v", len(got), err)
	}
	_ = f.Close()

	// Uploads: a named error, in time, and nothing that stays.
	for mode, want := range map[string]error{"stall": ErrStoreTimeout, "deaf": ErrStoreTimeout, "503": ErrStore, "lost": ErrStore} {
		p.set(mode, 0)
		_, err := b.blobs.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(random(2_000_000)))
		if !errors.Is(err, want) && !(mode == "lost" && errors.Is(err, ErrStoreTimeout)) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	// One lost answer is made good by asking again.
	p.set("503", 0)
	go func() { time.Sleep(200 * time.Millisecond); p.set("", 0) }()
	late := random(500_000)
	info = b.upload(alice, late)
	b.mustWrite(alice, "b", record("b", info))
	b.wantRead(alice, late)

	// Deletions wait until they succeed.
	b.mustWrite(alice, "b", nil)
	p.set("503", 0)
	if _, err := b.blobs.EmptyTrash(t.Context(), b.schema); !errors.Is(err, ErrStore) {
		t.Errorf("trash: %v", err)
	}
	p.set("", 0)
	if n := b.emptyTrash(); n != 0 {
		t.Errorf("%d deleted at once after a failure", n)
	}
	b.ahead.Add(int64(3 * time.Hour)) // and what the uploads left
	b.emptyTrash()
	if sum := b.clean(); sum.Blobs != 1 || sum.Objects != 1 {
		t.Errorf("%+v", sum)
	}
}

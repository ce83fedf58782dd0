package blob

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// rough is an S3 server that does something wrong with requests that meet some condition, so many times.
type rough struct {
	mu    sync.Mutex
	when  func(*http.Request) bool
	do    func(w http.ResponseWriter, r *http.Request, pass http.Handler)
	times int
	done  int
}

// set begins with something else. times < 0: for ever.
func (p *rough) set(times int, when func(*http.Request) bool, do func(http.ResponseWriter, *http.Request, http.Handler)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times, p.when, p.do, p.done = times, when, do, 0
}

func (p *rough) happened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func roughS3(t *testing.T) (*rough, string) {
	t.Helper()
	location := s3Bucket(t)
	target, err := url.Parse(s3Server.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &rough{}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	pass := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		do := p.do
		if do == nil || p.times == 0 || !p.when(r) {
			do = func(w http.ResponseWriter, r *http.Request, pass http.Handler) { pass.ServeHTTP(w, r) }
		} else {
			p.times--
			p.done++
		}
		p.mu.Unlock()
		do(w, r, pass)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return p, strings.Replace(location, s3Server.endpoint, server.URL, 1)
}

func puts(r *http.Request) bool { return r.Method == http.MethodPut }
func gets(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.RawQuery == "" }

// busy says to come again in a second, or does not say when.
func busy(after string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `<Error><Code>ServiceUnavailable</Code><Message>later</Message></Error>`)
	}
}

// hangUp reads so much of the request and resets the connection.
func hangUp(n int64) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, n)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}
}

// cutAnswer sends so much of the answer and resets the connection.
func cutAnswer(n int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(&cutting{ResponseWriter: w, left: n}, r)
	}
}

// answered changes the answer, whole.
func answered(change func(h http.Header, body []byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		rec := httptest.NewRecorder()
		pass.ServeHTTP(rec, r)
		body := change(rec.Header(), rec.Body.Bytes())
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	}
}

// TestRoughS3: what ends is made good, what does not is a named error, and in the end nothing is left over and nothing
// that was acknowledged is missing.
func TestRoughS3(t *testing.T) {
	t.Parallel()
	p, location := roughS3(t)
	b := newBed(t, location)
	b.stall, b.patience = 10*time.Second, 10*time.Second // nothing stalls here but a busy machine
	b.blobs = b.open(location)
	alice := b.account()
	small, large := 300_000, 40<<20 // the second in three parts
	second := func(r *http.Request) bool { return puts(r) && r.URL.Query().Get("partNumber") == "2" }
	completes := func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") }
	wrongTag := answered(func(h http.Header, body []byte) []byte {
		if h.Get("ETag") != "" {
			h.Set("ETag", `"00000000000000000000000000000000"`)
		}
		return body
	})
	var kept [][]byte
	for _, one := range []struct {
		name  string
		size  int
		times int
		when  func(*http.Request) bool
		do    func(http.ResponseWriter, *http.Request, http.Handler)
		want  error
	}{
		{"503 twice", small, 2, puts, busy(""), nil},
		{"503 twice, with a time", small, 2, puts, busy("1"), nil},
		{"503 for ever", small, -1, puts, busy(""), ErrStore},
		{"503 for ever, with a time", small, -1, puts, busy("120"), ErrStore},
		{"503 at a part", large, 1, second, busy("1"), nil},
		{"503 at the end", large, 1, completes, busy(""), nil},
		{"connection lost at once", small, 2, puts, hangUp(0), nil},
		{"connection lost in the middle", small, 2, puts, hangUp(100_000), nil},
		{"connection lost in the middle for ever", small, -1, puts, hangUp(100_000), ErrStore},
		{"connection lost in a part", large, 1, second, hangUp(1 << 20), nil},
		{"connection lost in a part for ever", large, -1, second, hangUp(1 << 20), ErrStore},
		{"answer lost at the end", large, 1, completes, hangUp(1 << 20), nil},
		{"another ETag", small, -1, puts, wrongTag, nil}, // an encrypting store's is no digest either
		{"another ETag of a part", large, -1, second, wrongTag, ErrStore},
	} {
		data := random(one.size)
		p.set(one.times, one.when, one.do)
		begun := time.Now()
		info, err := b.blobs.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(data))
		if !errors.Is(err, one.want) || p.happened() == 0 || time.Since(begun) > 60*time.Second {
			t.Errorf("%s: %v after %s, happened %d times", one.name, err, time.Since(begun), p.happened())
		}
		p.set(0, nil, nil)
		if err == nil {
			b.mustWrite(alice, "r"+strconv.Itoa(len(kept)), record("r", info))
			b.wantRead(alice, data)
			kept = append(kept, data)
		}
	}
	// Downloads.
	data := kept[0]
	c := dagcbor.RawCID(data)
	for _, one := range []struct {
		name  string
		times int
		do    func(http.ResponseWriter, *http.Request, http.Handler)
		want  error
	}{
		{"503 once", 1, busy("1"), nil},
		{"connection lost", 1, hangUp(0), nil},
		{"cut in the middle", 3, cutAnswer(90_000), nil},
		{"cut for ever", -1, cutAnswer(10), ErrStore},
		{"another ETag", -1, wrongTag, nil},
		{"a shorter body", -1, answered(func(_ http.Header, body []byte) []byte { return body[:len(body)/2] }), ErrLost},
		{"no body", -1, answered(func(http.Header, []byte) []byte { return nil }), ErrLost},
	} {
		p.set(one.times, func(r *http.Request) bool { return r.Method == http.MethodGet }, one.do)
		got, err := b.read(alice, c)
		if !errors.Is(err, one.want) || err == nil && !bytes.Equal(got, data) || p.happened() == 0 {
			t.Errorf("%s: %d bytes, %v, happened %d times", one.name, len(got), err, p.happened())
		}
	}
	// Other bytes than were stored: verify --deep and a move see it.
	p.set(-1, gets, answered(func(_ http.Header, body []byte) []byte { body[len(body)/2] ^= 1; return body }))
	if kinds, _ := b.verify(VerifyOptions{Deep: true}); len(kinds) != len(kept) || kinds[0] != "wrong" {
		t.Errorf("%v", kinds)
	}
	p.set(0, nil, nil)
	b.ahead.Add(int64(3 * time.Hour))
	b.emptyTrash()
	for _, at := range b.blobs.Stores.set.All() {
		if err := at.SweepOld(t.Context(), b.now().Add(-staleUpload)); err != nil {
			t.Fatal(err)
		}
	}
	if sum := b.clean(); int(sum.Blobs) != len(kept) || int(sum.Objects) != len(kept) {
		t.Errorf("%+v, want %d", sum, len(kept))
	}
	if left, err := blobtest.Unfinished(t.Context(), location); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

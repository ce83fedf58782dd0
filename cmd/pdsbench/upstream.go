package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxUpstreamAnswer is the longest answer of the stand-in.
const maxUpstreamAnswer = 64 << 20

// upstreamCmd is a stand-in for the service that a PDS hands calls on to. It answers any method with as many bytes as the
// parameter size says, asks for no token, and costs as little as it can: what is measured is the PDS.
type upstreamCmd struct {
	Listen string `default:"127.0.0.1:0" help:"Address, on loopback; port 0 takes a free one."`
}

// Run serves until it is told to end. Its first line is its URL.
func (u *upstreamCmd) Run(ctx context.Context) error {
	s, err := listenUpstream(u.Listen)
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintln(os.Stdout, s.url)
	<-ctx.Done()
	return nil
}

// An upstream is a stand-in that listens.
type upstream struct {
	url  string
	http *http.Server
	done sync.WaitGroup

	mu      sync.Mutex
	answers map[int][]byte // by size
}

// listenUpstream starts one.
func listenUpstream(addr string) (*upstream, error) {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen on %q: %w", addr, errors.Join(err, errors.New("must be host:port on loopback")))
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start the stand-in: %w", err)
	}
	u := &upstream{url: "http://" + l.Addr().String(), answers: map[int][]byte{}}
	u.http = &http.Server{Handler: u, ReadHeaderTimeout: 10 * time.Second}
	u.done.Go(func() { _ = u.http.Serve(l) }) // ErrServerClosed, always
	return u, nil
}

func (u *upstream) close() {
	_ = u.http.Close()
	u.done.Wait()
}

// did is what the stand-in is called: a did:web of its address, whose document it serves.
func (u *upstream) did() string { return upstreamDID(u.url) }

func upstreamDID(base string) string {
	return "did:web:" + url.QueryEscape(strings.TrimPrefix(base, "http://"))
}

// ServeHTTP answers /xrpc/ANY?size=N, and with the DID document.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	if r.URL.Path == "/.well-known/did.json" {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"@context": []string{"https://www.w3.org/ns/did/v1"}, "id": u.did(),
			"service": []map[string]string{{"id": "#bsky_appview", "type": "BskyAppView", "serviceEndpoint": u.url}},
		})
		return
	}
	size, err := strconv.Atoi(strings.TrimPrefix(r.URL.RawQuery, "size="))
	if err != nil || !strings.HasPrefix(r.URL.Path, "/xrpc/") || size < len(`{"x":""}`) || size > maxUpstreamAnswer {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(xrpcError{Name: "InvalidRequest", Message: "want /xrpc/METHOD?size=BYTES"})
		return
	}
	h.Set("Content-Length", strconv.Itoa(size))
	_, _ = w.Write(u.answer(size)) // an error is the other side's
}

// answer is JSON of exactly so many bytes.
func (u *upstream) answer(size int) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.answers[size] == nil {
		u.answers[size] = []byte(`{"x":"` + strings.Repeat("a", size-len(`{"x":""}`)) + `"}`)
	}
	return u.answers[size]
}

// reachUpstream is the stand-in at a URL; one that does not answer there is started, and ended by stop.
func reachUpstream(ctx context.Context, base string, timeout time.Duration) (t *target, stop func(), err error) {
	if t, err = newTarget(ctx, base, "", false, timeout); err != nil {
		return nil, nil, fmt.Errorf("--upstream: %w", err)
	}
	if nc, err := t.dial(); err == nil {
		return t, func() { _ = nc.Close() }, nil
	}
	u, err := listenUpstream(net.JoinHostPort(t.name, t.port))
	if err != nil {
		return nil, nil, err
	}
	return t, u.close, nil
}

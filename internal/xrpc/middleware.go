package xrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/klauspost/compress/gzhttp"

	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/tenant"
)

// state is what a request carries through the layers.
type state struct {
	tenant.Match
	req    *http.Request
	call   *call      // set once a method is reached
	addr   netip.Addr // who calls
	seldom *seldom
	tables *Tables
	// arrival is the body, nil if none was announced.
	arrival *arrival
	log     *slog.Logger
	now     func() time.Time
	used    func(t *tenant.Tenant, requests, bytes int64, at time.Time)
	failed  func(t *tenant.Tenant, err error)
	opened  func(r *http.Request) // its stream has come about
	limits  *limit.Counter
	id      string
	account string // who calls, once that is known
	proxies *inbound.Proxies
	w       *response
	start   time.Time

	bypass  *bool         // nil: not looked at yet
	verdict limit.Verdict // the tightest limit so far
	spare   *spared       // nil: the method spares nobody
	stay    *fair.Stay    // at work
	hold    *fair.Hold    // the memory of the answer
	body    *fair.Hold    // of a body that is unusually large
	memory  *fair.Bytes   // what both are taken from
}

func (s *state) visitor() Visitor { return Visitor{s.Tenant, s} }

// compressFrom is the smallest answer worth compressing.
const compressFrom = 1024

// The layers around the mux: recover, request id and log, CORS, tenant by Host, limits, compression. compressor is the
// last of them.
func compressor(h http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(compressFrom),
		gzhttp.CompressionLevel(4),
		gzhttp.EnableZstd(false), // each of its encoders holds megabytes
		gzhttp.ContentTypes([]string{"application/json", "application/vnd.ipld.car", "text/plain", "text/html", "text/css", "text/javascript", "application/yaml"}),
	)
	if err != nil {
		panic(fmt.Sprintf("compression options: %v", err)) // constants
	}
	return wrap(h)
}

func (s *Server) serve(rw http.ResponseWriter, r *http.Request) {
	st := &state{log: s.Log, seldom: &s.seldom, tables: &s.tables, now: s.now, used: s.used, failed: s.failed, limits: s.limits, start: time.Now(), addr: s.proxies.Client(r), proxies: &s.proxies, memory: s.answers}
	st.stay = s.door.Knock()
	r = r.WithContext(fair.With(context.WithValue(r.Context(), stateKey{}, st), st.stay))
	st.req, st.arrival = r, arriving(rw, r)
	if r.Header["Upgrade"] != nil {
		st.opened = func(r *http.Request) { s.opened(st, r) }
	}
	st.w = &response{ResponseWriter: rw, req: r, arrival: st.arrival}
	w := st.w
	defer st.arrival.leave() // last of all
	defer func() {
		st.hold.Release()
		st.body.Release()
	}()
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			st.logCause(internalError(), fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			if w.status != 0 {
				panic(http.ErrAbortHandler) // too late for an answer: cut it, so that it does not look whole
			}
			WriteError(w, internalError())
		}
		if s.used != nil && st.Tenant != nil && st.w.bytes > 0 {
			s.used(st.Tenant, 0, st.w.bytes, st.start)
		}
		s.seen(st, r)
	}()
	st.id = st.offeredID()
	w.Header()["X-Request-Id"] = []string{st.requestID()}
	if !cors(w, r) {
		return
	}
	match, err := s.byHost(r.Context(), r.Host)
	if (errors.Is(err, tenant.ErrTenantSuspended) || errors.Is(err, tenant.ErrTenantDeleted)) && match.Kind != 0 && s.standing(r).in(match.State) != Refuses {
		err = nil
	}
	if err != nil {
		WriteError(w, st.fail(err))
		return
	}
	st.Match = match
	if s.used != nil {
		s.used(match.Tenant, 1, 0, st.start) // now: a stream may last for days
	}
	if s.nonce != nil && match.Kind != tenant.HandleHost {
		// On every answer, so that a client's next proof has a nonce whatever became of this one.
		// spec: RFC 9449 section 8.2
		if nonce := s.nonce(r.Context(), match.Tenant); nonce != nil {
			w.Header()[nonceHeader] = nonce
		}
	}
	if e := s.chargeAll(st, r); e != nil {
		WriteError(w, e)
		return
	}
	if err := st.stay.Enter(r.Context(), st.path()); err != nil {
		WriteError(w, st.fail(err))
		return
	}
	defer st.stay.Leave()
	if forwards(st, w, r) {
		return
	}
	switch {
	case match.Kind == tenant.HandleHost && !handleHostPaths[r.URL.Path]:
		notFound(w, r)
	case clean(r.URL.Path):
		s.route(st, w, r)
	case strings.HasPrefix(r.URL.Path, "/xrpc/"):
		WriteError(w, Invalid("invalid xrpc path"))
	default:
		notFound(w, r)
	}
}

// nonceHeader is DPoP-Nonce as net/http keeps it.
const nonceHeader = "Dpop-Nonce"

// handleHostPaths is all that is served under the name of a handle.
var handleHostPaths = map[string]bool{"/.well-known/atproto-did": true}

// Shared header values: net/http only reads them, and whoever adds to one gets a copy.
var (
	anyOrigin = []string{"*"}
	exposed   = []string{"DPoP-Nonce, WWW-Authenticate, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy, Retry-After, Atproto-Repo-Rev, Atproto-Content-Labelers, Atproto-Upstream-Lag, X-Request-Id"}
)

// cors lets any web page call; it answers preflights itself and then returns false.
func cors(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h["Access-Control-Allow-Origin"] = anyOrigin
	if r.Header["Origin"] != nil { // only browsers read it, and it is longer than many an answer
		h["Access-Control-Expose-Headers"] = exposed
	}
	if r.Method != http.MethodOptions {
		return true
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
	// "*" does not cover Authorization, so what was asked for is repeated.
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" && len(asked) < 4096 {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return false
}

// offeredID is the X-Request-Id that a trusted proxy gave the request, if it is one.
func (s *state) offeredID() string {
	offered := s.req.Header["X-Request-Id"]
	if len(offered) == 0 {
		return ""
	}
	id := offered[0]
	if id == "" || len(id) > 64 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "" {
		return ""
	}
	peer, err := netip.ParseAddrPort(s.req.RemoteAddr)
	if err == nil && !s.proxies.Trusts(peer.Addr()) {
		return ""
	}
	return id
}

// requestID is the id of the request: the one that a proxy gave it, or a number of this process.
func (s *state) requestID() string {
	if s.id == "" {
		b := strconv.AppendInt(make([]byte, 0, 24), s.start.UnixMilli(), 16)
		s.id = string(strconv.AppendInt(append(b, '-'), requestCount.Add(1), 10))
	}
	return s.id
}

var requestCount atomic.Int64

// logCause records what an answer does not tell, under an id that the answer carries.
func (s *state) logCause(e *Error, cause error) {
	r := s.req
	if errors.Is(cause, context.Canceled) && r.Context().Err() != nil {
		return
	}
	ctx := r.Context()
	for _, kind := range s.tables.rare {
		if errors.Is(cause, kind) {
			if passed, ok := s.seldom.may(kind, s.now()); ok {
				s.log.WarnContext(ctx, "request failed elsewhere", "host", r.Host, "method", r.Method, "path", r.URL.Path, "status", e.status, "err", cause, "unsaid", passed)
			}
			return
		}
	}
	s.log.ErrorContext(ctx, "request failed", "host", r.Host, "method", r.Method, "path", r.URL.Path, "status", e.status, "err", cause)
}

// fail translates an error and logs what the answer hides.
func (s *state) fail(err error) *Error {
	if errors.Is(err, fair.ErrNoPlace) || errors.Is(err, fair.ErrNoBytes) {
		s.lull()
	}
	e, hidden := s.tables.Translate(s.req.Context(), err)
	if hidden {
		s.logCause(e, err)
	}
	return e
}

// fullPause is how long a request that finds no room waits for its refusal. It holds nothing then but its connection, and a
// client that asks again at once is not served refusals by the thousand, which cost others as much as answers do.
const fullPause = 250 * time.Millisecond

func (s *state) lull() {
	t := time.NewTimer(fullPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.req.Context().Done():
	}
}

// jsonType is the type of all JSON that is sent. JSON is UTF-8 anyway, but some clients compare the header with what the
// reference server sends.
const jsonType = "application/json; charset=utf-8"

// response remembers what was sent, and ends the connection with an answer that was given before the request's body
// had come.
type response struct {
	http.ResponseWriter
	req     *http.Request
	arrival *arrival
	exact   bool // the headers are another's, and stay as they are
	status  int
	bytes   int64
}

func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		return // Huma says so of an answer that breaks off, as its client is gone
	}
	if status >= 200 {
		w.begin(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) begin(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if h := w.Header(); !w.exact && h.Get("Content-Type") == "application/json" {
		h.Set("Content-Type", jsonType)
	}
	if !w.arrival.settle(w.req) {
		w.Header().Set("Connection", "close")
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets the kernel copy files.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	w.begin(http.StatusOK)
	n, err := to.ReadFrom(src)
	w.bytes += n
	return n, err
}

func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

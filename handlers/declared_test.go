package handlers

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// answered is one kind of error answer that a house gave.
type answered struct {
	nsid   string
	status int // 0: an error in a stream
	name   string
	gate   bool // by the gate: no handler ran
}

// answers is every kind of error answer that any house of this run gave, and the first request that got it.
var answers = struct {
	sync.Mutex
	kinds map[answered]string
}{kinds: map[answered]string{}}

func recordAnswer(a answered, what string) {
	answers.Lock()
	defer answers.Unlock()
	if _, ok := answers.kinds[a]; !ok {
		answers.kinds[a] = what
	}
}

// recordStreamError is for errors that are messages of a stream.
func recordStreamError(nsid, name string) { recordAnswer(answered{nsid: nsid, name: name}, "stream") }

type gateKey struct{}

// listen puts itself before the house's server: all that tests are told by a method goes through here.
func (h *house) listen() http.HandlerFunc {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			for _, op := range h.server.ops {
				establish := op.establish
				if establish == nil {
					continue // a subscription
				}
				op.establish = func(ctx context.Context, c *call) error {
					err := establish(ctx, c)
					if refused, ok := ctx.Value(gateKey{}).(*bool); ok && err != nil {
						*refused = true
					}
					return err
				}
			}
		})
		nsid := strings.TrimPrefix(r.URL.Path, "/xrpc/")
		if h.server.ops[nsid] == nil {
			h.server.ServeHTTP(w, r)
			return
		}
		refused := false
		rec := &recorder{ResponseWriter: w}
		h.server.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), gateKey{}, &refused)))
		if name := rec.errorName(); name != "" {
			recordAnswer(answered{nsid, rec.status, name, refused}, h.t.Name()+": "+r.Method+" "+r.URL.Path)
		}
	}
}

// recorder keeps the answer when it is an error.
type recorder struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status >= 400 {
		w.body = append(w.body, p...)
	}
	return w.ResponseWriter.Write(p)
}

func (w *recorder) errorName() string {
	if w.status < 400 {
		return ""
	}
	body := w.body
	if w.Header().Get("Content-Encoding") == "gzip" {
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, _ = io.ReadAll(z)
		}
	}
	var e struct{ Error string }
	if err := json.Unmarshal(body, &e); err != nil || e.Error == "" {
		return "(an answer without a name)"
	}
	return e.Error
}

// What net/http's own writer can do beside answering stays possible.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *recorder) Flush()                      { w.ResponseWriter.(http.Flusher).Flush() }
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.ResponseWriter.(http.Hijacker).Hijack()
}
func (w *recorder) ReadFrom(src io.Reader) (int64, error) {
	return w.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

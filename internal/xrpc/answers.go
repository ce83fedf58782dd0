package xrpc

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/fair"
)

// What an answer takes in memory while its client reads it is taken from one amount that all of the process share,
// fairly by tenant and address ([fair.Bytes]): before the handler begins, as much as the method's answers may take;
// when the answer is made, as much as it really takes.
const (
	// DefaultAnswerMemory is for all answers together.
	DefaultAnswerMemory = 256 << 20
	// LeastAnswerMemory lets some have the largest answers at once.
	LeastAnswerMemory = 8 * largestAnswer

	largestAnswer = 4 << 20
	smallAnswer   = 64 << 10 // of methods that declare nothing: a record may be more, and then asks for it
	tinyAnswer    = 4 << 10  // of methods that read a stream, for as long as that comes

	// compressorBytes is what compressing an answer takes while it is being read.
	compressorBytes = 1 << 20
)

// Answers bounds what the methods' answers take in memory.
func (d Declaration) Answers(n int64) Declaration {
	if n > largestAnswer {
		panic(d.NSID + ": an answer of that size needs a larger LeastAnswerMemory")
	}
	d.answer = n
	return d
}

// reserve takes memory for the answer of a method before it is made.
func (g *Group) reserve(ctx context.Context, c *call, op *Operation) *Error {
	if g.answers == nil {
		return nil
	}
	h, err := g.answers.Take(ctx, op.answer, c.state.path()...)
	if err != nil {
		return c.fail(err)
	}
	c.state.hold = h
	return nil
}

// weighBody takes memory for a body of JSON that turns out larger than a new record may be, as much as the largest takes
// with the block that is made of it; false: there is none.
func (s *state) weighBody(most int64) bool {
	if s.memory == nil || s.body != nil {
		return true
	}
	s.body = s.memory.Try(2*most, s.path()...)
	return s.body != nil
}

// Sized is an output that is encoded already, and may be larger than its method declared.
type Sized interface{ Size() int }

// fits makes the reservation as large as an answer that turned out larger than the method declared.
func (s *state) fits(out any) error {
	if o, ok := out.(Sized); ok && !s.hold.Grow(int64(o.Size())) {
		return fair.ErrNoBytes
	}
	return nil
}

// weighed is where an encoded answer is written: from then on it is all that the request holds.
type weighed struct {
	io.Writer
	state *state
}

func (w weighed) weigh(n int) { w.state.hold.Set(int64(n)) }

func (c *call) BodyWriter() io.Writer { return weighed{c.humaContext.BodyWriter(), c.state} }

// route hands a request to the mux: through the compressor, if the client takes what it makes and there is memory for it.
func (s *Server) route(st *state, w http.ResponseWriter, r *http.Request) {
	if s.foreign(st, r) {
		answerPlain(s.others.Answer, w, r)
		return
	}
	// Hijacked connections and files that the kernel copies need the writer below, with nothing around it.
	if r.Header.Get("Upgrade") != "" || files[r.URL.Path] || strings.HasPrefix(r.URL.Path, "/img/") || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		s.mux.ServeHTTP(w, r)
		return
	}
	h := s.answers.Try(compressorBytes, st.path()...)
	if h == nil {
		w.Header().Add("Vary", "Accept-Encoding")
		s.mux.ServeHTTP(w, r)
		return
	}
	defer h.Release()
	s.compressed.ServeHTTP(w, r)
}

// files are paths whose answers are never compressed.
var files = map[string]bool{"/xrpc/com.atproto.sync.getBlob": true}

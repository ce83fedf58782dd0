package xrpc

import (
	"bufio"
	"io"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// StreamIn is the input of a method whose body is not JSON: a blob, an archive. It is read by the handler,
// as it comes in, up to the declared limit.
type StreamIn struct{ in *incoming }

func (s *StreamIn) attach(in *incoming) { s.in = in }

// Stream is the decoded body. A body over the limit ends in an error, and whatever the handler then returns,
// the client is told 413.
func (s *StreamIn) Stream() io.Reader { return s.in }

// ContentType is the body's type as the client says.
func (s *StreamIn) ContentType() string { return s.in.c.req.Header.Get("Content-Type") }

// Length is the number of bytes announced, -1 when unknown or encoded.
func (s *StreamIn) Length() int64 {
	if s.in.c.req.Header.Get("Content-Encoding") != "" {
		return -1
	}
	return s.in.c.req.ContentLength
}

// StreamOut is the output of a method that answers with bytes of its own type: see [Stream].
type StreamOut struct {
	Body func(huma.Context)
	held int64
}

// Size is what of the output is in memory already.
func (o *StreamOut) Size() int { return int(o.held) }

// Holding says that so many bytes of the output are in memory already.
func (o *StreamOut) Holding(bytes int64) *StreamOut { o.held = bytes; return o }

const CarType = "application/vnd.ipld.car"

// Stream answers with what write writes. Nothing is sent before its first flush (32 KiB, or the end), so an
// error until then is a proper error answer; after it the connection is cut, because a shorter body would
// look like a whole one. Extra headers are set by header, which may be nil.
func Stream(contentType string, header func(http.Header), write func(io.Writer) error) *StreamOut {
	return &StreamOut{Body: func(ctx huma.Context) {
		c := callOf(ctx)
		out := &outgoing{c: c, contentType: contentType, header: header}
		buf := streamBuffers.Get().(*bufio.Writer)
		buf.Reset(out)
		err := write(buf)
		if err == nil {
			err = buf.Flush()
			if err == nil && !out.started {
				out.start()
			}
		}
		buf.Reset(nil)
		streamBuffers.Put(buf)
		if err == nil {
			return
		}
		if !out.started {
			e := c.fail(err)
			WriteError(c.w, e)
			return
		}
		if out.err == nil { // not the client's doing
			c.state.logCause(internalError(), err)
		}
		panic(http.ErrAbortHandler)
	}}
}

// HandOver lets h write the whole answer, its head included.
func HandOver(h func(http.ResponseWriter, *http.Request)) *StreamOut {
	return &StreamOut{Body: func(ctx huma.Context) {
		c := callOf(ctx)
		h(c.w, c.req)
	}}
}

var streamBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 32<<10) }}

// outgoing sends the head before the first byte.
type outgoing struct {
	c           *call
	contentType string
	header      func(http.Header)
	started     bool
	err         error
}

func (o *outgoing) start() {
	o.started = true
	h := o.c.w.Header()
	h.Set("Content-Type", o.contentType)
	if o.header != nil {
		o.header(h)
	}
	o.c.SetStatus(http.StatusOK)
}

func (o *outgoing) Write(p []byte) (int, error) {
	if !o.started {
		o.start()
	}
	n, err := o.c.w.Write(p)
	if err != nil {
		o.err = err
	}
	return n, err
}

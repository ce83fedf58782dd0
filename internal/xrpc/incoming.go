package xrpc

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/contentcoding"
)

// incoming is a request's body as handlers and Huma may read it: of the right type, its Content-Encoding
// undone, its decoded size limited. How long it may take is [arrival]'s.
type incoming struct {
	c     *call
	raw   io.Reader
	src   io.Reader
	limit int64 // 0: none
	read  int64
	err   error
}

// largeBody is where a body of JSON is large enough to be counted in the memory that answers share.
const largeBody = 1_000_000

// jsonReadTime is how long a JSON body may take, all of it.
const jsonReadTime = 30 * time.Second

// open looks at the headers of the body and refuses what cannot be right.
func (in *incoming) open(c *call) *Error {
	r := c.req
	present := r.ContentLength > 0 || r.ContentLength < 0 && r.Body != nil && r.Body != http.NoBody
	switch {
	case c.op.Input == "" && present:
		if r.ContentLength < 0 && in.empty(c) {
			return nil
		}
		return Invalid("A request body was provided when none was expected")
	case c.op.Input == "":
		return nil
	case !present && c.op.Input == "application/json":
		return Invalid("A request body is expected but none was provided")
	}
	given := r.Header.Get("Content-Type")
	if c.op.Input != "*/*" {
		if given == "" {
			return Invalid("Request encoding (Content-Type) required but not provided")
		}
		if !isType(given, c.op.Input) {
			return Invalid("Wrong request encoding (Content-Type): %s", firstWord(given))
		}
	}
	in.c, in.limit = c, c.op.Limit
	if c.op.LimitOf != nil {
		in.limit = c.op.LimitOf(c.visitor())
	}
	in.raw, in.src = r.Body, r.Body
	if a := c.state.arrival; a != nil && c.op.Input == "application/json" {
		a.whole(jsonReadTime)
	}
	if encodings := strings.Join(r.Header.Values("Content-Encoding"), ","); encodings != "" {
		if e := in.decode(encodings); e != nil {
			return e
		}
	} else if in.limit > 0 && r.ContentLength > in.limit {
		return in.tooLarge()
	}
	return nil
}

// empty reads a body of which nothing is known but that it is chunked, and tells whether it ends at once: a client that
// streams sends nothing that way.
func (in *incoming) empty(c *call) bool {
	in.c, in.limit, in.raw, in.src = c, 1, c.req.Body, c.req.Body
	n, err := in.Read(make([]byte, 1))
	return n == 0 && err == io.EOF && c.refusal == nil
}

// isType compares a Content-Type with what a method takes; parameters such as charset do not matter.
func isType(given, want string) bool {
	if given == want {
		return true
	}
	t, _, err := mime.ParseMediaType(given)
	return err == nil && t == want
}

func firstWord(s string) string {
	s, _, _ = strings.Cut(s, ";")
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.ToValidUTF8(strings.TrimSpace(s), "")
}

// decode puts decoders over the body, the last named encoding first.
func (in *incoming) decode(encodings string) *Error {
	codings, err := contentcoding.Parse(encodings)
	if err != nil {
		return Refuse(http.StatusUnsupportedMediaType, "", "%s", err)
	}
	for _, coding := range codings {
		if !contentcoding.Known(coding) {
			return Refuse(http.StatusUnsupportedMediaType, "", "%s", contentcoding.ErrUnknown)
		}
		inner := in.src
		in.src = &lazy{open: func() (io.Reader, error) { return exactly(coding, inner) }}
	}
	return nil
}

// exactly undoes a coding and refuses what stands behind its data.
func exactly(coding string, r io.Reader) (io.Reader, error) {
	if coding != contentcoding.Deflate {
		return contentcoding.Open(coding, r)
	}
	b := bufio.NewReader(r)
	z, err := contentcoding.OpenDeflate(b)
	if err != nil {
		return nil, err
	}
	return &whole{z, b}, nil
}

// whole is a decoder that stops where the data says, and wants nothing behind it, as those of gzip and br do by
// themselves: an encoding around it is then checked to its end as well.
type whole struct {
	io.Reader
	src *bufio.Reader
}

var errBehind = errors.New("more than was encoded")

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != io.EOF {
		return n, err
	}
	if _, err = w.src.ReadByte(); err == nil {
		err = errBehind
	}
	return n, err
}

// lazy opens a decoder at the first read: opening reads from the network.
type lazy struct {
	open func() (io.Reader, error)
	r    io.Reader
	err  error
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.r == nil && l.err == nil {
		l.r, l.err = l.open()
	}
	if l.err != nil {
		return 0, l.err
	}
	return l.r.Read(p)
}

func (in *incoming) tooLarge() *Error {
	return Refuse(http.StatusRequestEntityTooLarge, in.c.op.TooLarge(), "request entity too large")
}

// Read never fails for Huma: a broken body ends early and leaves its reason in the call's refusal. A handler
// that reads a stream gets that reason as the error.
func (in *incoming) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	if in.src == nil {
		return 0, io.EOF
	}
	if room := in.limit - in.read; in.limit > 0 && int64(len(p)) > room+1 {
		p = p[:room+1] // one more byte tells "exactly the limit" from "over it"
	}
	n, err := in.src.Read(p)
	in.read += int64(n)
	if in.limit > 0 && in.read > in.limit {
		return 0, in.broken(in.tooLarge())
	}
	if in.read > largeBody && in.c.op.Input == "application/json" && !in.c.state.weighBody(in.limit) {
		return 0, in.broken(Refuse(http.StatusServiceUnavailable, "", "Too many large requests are being read at once, try again"))
	}
	switch {
	case err == io.EOF:
		in.err = io.EOF
		return n, io.EOF
	case err == nil:
		return n, nil
	}
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return 0, in.broken(Refuse(http.StatusRequestTimeout, "RequestTimeout", "the request body did not arrive in time"))
	case in.c.req.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) && in.src == in.raw:
		return 0, in.broken(ErrClientGone)
	}
	return 0, in.broken(Invalid("the request body cannot be decoded"))
}

// broken ends the body for good. JSON bodies end without an error: see Read.
func (in *incoming) broken(e *Error) error {
	in.c.refusal = e
	in.err = e
	if in.c.op.Input == "application/json" {
		in.err = io.EOF
	}
	return in.err
}

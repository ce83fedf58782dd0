// Package contentcoding undoes the content codings of HTTP bodies: of requests that come in, and of answers of other
// servers. How long a body may be is for its reader to bound.
// spec: RFC 9110 section 8.4.1
package contentcoding

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
)

// The codings that are undone.
const (
	GZip    = "gzip"
	Deflate = "deflate"
	Brotli  = "br"
)

// most is how many codings, one over the other, are undone.
const most = 3

var (
	// ErrTooMany: more codings lie over each other than anybody needs.
	ErrTooMany = errors.New("too many content encodings")
	// ErrUnknown: none of the codings here.
	ErrUnknown = errors.New("unsupported content encoding")
)

// Parse reads a Content-Encoding: the codings in the order in which they are undone, the last named first, without those
// that change nothing. Those that are not known are among them. Errors: [ErrTooMany].
func Parse(header string) ([]string, error) {
	list := strings.Split(header, ",")
	if len(list) > most {
		return nil, ErrTooMany
	}
	var out []string
	for i := len(list) - 1; i >= 0; i-- {
		switch coding := strings.ToLower(strings.TrimSpace(list[i])); coding {
		case "", "identity":
		case "x-gzip":
			out = append(out, GZip)
		default:
			out = append(out, coding)
		}
	}
	return out, nil
}

// Known tells whether a coding can be undone.
func Known(coding string) bool {
	return coding == GZip || coding == Deflate || coding == Brotli
}

// Open undoes one coding. It may read the beginning of r. Errors: [ErrUnknown], the decoder's and r's.
func Open(coding string, r io.Reader) (io.Reader, error) {
	switch coding {
	case GZip:
		return gzip.NewReader(r)
	case Deflate:
		return OpenDeflate(bufio.NewReader(r))
	case Brotli:
		return brotli.NewReader(r), nil
	}
	return nil, ErrUnknown
}

// OpenDeflate undoes "deflate", which is zlib by the specification and raw deflate with some senders. It reads no byte of
// r that lies behind the data.
func OpenDeflate(r *bufio.Reader) (io.Reader, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(r)
	}
	return flate.NewReader(r), nil
}

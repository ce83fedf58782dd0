package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// maxKept bounds how much of an answer is kept for the caller; the rest is read, counted and dropped.
const maxKept = 1 << 20

// idleLimit is how long an unused connection is trusted. Node closes its own after five seconds.
const idleLimit = 2 * time.Second

var errAnswer = errors.New("malformed HTTP answer")

// A conn is one client: one HTTP/1.1 connection, one request at a time. It redials when the server closed the connection.
type conn struct {
	t    *target
	nc   net.Conn
	br   *bufio.Reader
	used time.Time
	kept []byte
	all  bool // keep bodies of good answers too
}

func newConn(t *target) *conn {
	return &conn{t: t, br: bufio.NewReaderSize(nil, 64<<10)}
}

func (c *conn) close() {
	if c.nc != nil {
		_ = c.nc.Close()
		c.nc = nil
	}
}

// An answer is what came back: the status, the body (of errors always, of good answers only when the conn keeps all; valid until the
// next request) and its whole length in bytes.
type answer struct {
	status int
	body   []byte
	length int64
}

// do sends one encoded request and reads its answer. now is the time of the call, taken by the caller who measures with it.
// After an error the connection is closed and the next call dials again; nothing is sent twice.
func (c *conn) do(req []byte, now time.Time) (answer, error) {
	if c.nc != nil && now.Sub(c.used) > idleLimit {
		c.close()
	}
	if c.nc == nil {
		nc, err := c.t.dial()
		if err != nil {
			return answer{}, err
		}
		c.nc = nc
		c.br.Reset(nc)
	}
	if err := c.nc.SetDeadline(now.Add(c.t.timeout)); err != nil {
		c.close()
		return answer{}, err
	}
	if _, err := c.nc.Write(req); err != nil {
		c.close()
		return answer{}, err
	}
	a, last, err := c.read()
	if err != nil || last {
		c.close()
	}
	c.used = now
	return a, err
}

// read reads one answer; last tells that the server will close the connection.
func (c *conn) read() (a answer, last bool, err error) {
	length, chunked := int64(-1), false
	for {
		line, err := c.line()
		if err != nil {
			return a, true, err
		}
		if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
			return a, true, fmt.Errorf("%w: status line %q", errAnswer, line)
		}
		last = line[7] == '0'
		if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
			return a, true, fmt.Errorf("%w: status line %q", errAnswer, line)
		}
		for {
			line, err := c.line()
			if err != nil {
				return a, true, err
			}
			if len(line) == 0 {
				break
			}
			switch {
			case isHeader(line, "content-length:"):
				length, err = strconv.ParseInt(string(bytes.TrimSpace(line[len("content-length:"):])), 10, 64)
				if err != nil || length < 0 {
					return a, true, fmt.Errorf("%w: %q", errAnswer, line)
				}
			case isHeader(line, "transfer-encoding:"):
				chunked = bytes.EqualFold(bytes.TrimSpace(line[len("transfer-encoding:"):]), []byte("chunked"))
			case isHeader(line, "connection:"):
				last = bytes.EqualFold(bytes.TrimSpace(line[len("connection:"):]), []byte("close"))
			}
		}
		if a.status >= 200 {
			break
		}
	}
	c.kept = c.kept[:0]
	switch {
	case a.status == 204 || a.status == 304:
	case chunked:
		err = c.chunks(&a)
	case length >= 0:
		err = c.body(&a, length)
	default:
		last = true
		err = c.body(&a, 1<<62)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
	}
	a.body = c.kept
	return a, last, err
}

func isHeader(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}

func (c *conn) line() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// body reads n bytes of the body, keeping the first ones when they will be looked at.
func (c *conn) body(a *answer, n int64) error {
	keep := c.all || a.status != 200
	for n > 0 {
		if c.br.Buffered() == 0 {
			if _, err := c.br.Peek(1); err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
		}
		part, _ := c.br.Peek(int(min(n, int64(c.br.Buffered()))))
		if room := maxKept - len(c.kept); keep && room > 0 {
			c.kept = append(c.kept, part[:min(room, len(part))]...)
		}
		a.length += int64(len(part))
		n -= int64(len(part))
		if _, err := c.br.Discard(len(part)); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) chunks(a *answer) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%w: chunk %q", errAnswer, line)
		}
		if n == 0 {
			for { // trailers
				line, err := c.line()
				if err != nil || len(line) == 0 {
					return err
				}
			}
		}
		if err := c.body(a, n); err != nil {
			return err
		}
		if line, err = c.line(); err != nil {
			return err
		}
		if len(line) != 0 {
			return fmt.Errorf("%w: after a chunk %q", errAnswer, line)
		}
	}
}

// encode makes a request. query is the encoded query without its question mark; a nil body makes a GET, or a POST without content.
func (t *target) encode(method, nsid, query, authorization, contentType string, body []byte) []byte {
	b := make([]byte, 0, 256+len(query)+len(authorization)+len(body))
	b = append(b, method+" "+t.prefix+"/xrpc/"+nsid...)
	if query != "" {
		b = append(b, "?"+query...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "+t.host+"\r\n"...)
	if authorization != "" {
		b = append(b, "Authorization: "+authorization+"\r\n"...)
	}
	if method == "POST" {
		if body != nil {
			b = append(b, "Content-Type: "+contentType+"\r\n"...)
		}
		b = append(b, "Content-Length: "+strconv.Itoa(len(body))+"\r\n"...)
	}
	b = append(b, "\r\n"...)
	return append(b, body...)
}

// An xrpcError is an answer other than 200. spec: xrpc#error-responses
type xrpcError struct {
	Status  int    `json:"-"`
	Name    string `json:"error"`
	Message string `json:"message"`
}

func (e *xrpcError) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Name, e.Message) }

func newXRPCError(a answer) *xrpcError {
	e := &xrpcError{}
	if err := json.Unmarshal(a.body, e); err != nil || e.Name == "" {
		e.Name = "NotXRPC"
		e.Message = string(a.body[:min(len(a.body), 200)])
	}
	e.Status = a.status
	return e
}

// call makes one request outside the measured run: in and out are JSON values, in nil means a query.
func (c *conn) call(nsid string, query url.Values, authorization string, in, out any) error {
	method, body := "GET", []byte(nil)
	if in != nil {
		method = "POST"
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s: %w", nsid, err)
		}
		body = b
	}
	c.all = true
	a, err := c.do(c.t.encode(method, nsid, query.Encode(), authorization, "application/json", body), time.Now())
	if err != nil {
		return fmt.Errorf("%s: %w", nsid, err)
	}
	if a.status != 200 {
		return fmt.Errorf("%s: %w", nsid, newXRPCError(a))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("%s: read the answer: %w", nsid, err)
	}
	return nil
}

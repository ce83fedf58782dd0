package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
)

// fields are what is compared of one request: by name, what the client got (answer.…) and what the service saw (call1.…).
type fields map[string]string

// patience is how long an answer may take.
const patience = 25 * time.Second

// unremarkable headers say nothing about the call, or differ from one request to the next.
var unremarkable = []string{"Date", "Keep-Alive", "Connection", "X-Request-Id"}

// send makes a request byte for byte and says what came of it.
func (s *server) send(ctx context.Context, r request) (fields, error) {
	if _, err := s.seen(ctx); err != nil { // what was before is over
		return nil, err
	}
	out := fields{}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.Write(s.encode(r)); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.name, r.name, err)
	}
	verb := r.verb
	if verb == "" {
		verb = "GET"
	}
	s.answer(bufio.NewReader(c), verb, out)
	calls, err := s.seen(ctx)
	if err != nil {
		return nil, err
	}
	out["calls"] = fmt.Sprint(len(calls))
	for i, call := range calls {
		call.put(fmt.Sprintf("call%d.", i+1), out)
	}
	for k, v := range out {
		out[k] = s.named(v)
	}
	return out, nil
}

// encode makes the bytes of a request.
func (s *server) encode(r request) []byte {
	verb, body := r.verb, s.filled(r.body)
	if verb == "" {
		verb = "GET"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", verb, s.filled(r.path), s.host)
	if token := s.tokens[r.as]; token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	if !slices.ContainsFunc(r.headers, func(h string) bool { return strings.HasPrefix(h, "Connection:") }) {
		b.WriteString("Connection: close\r\n")
	}
	for _, h := range r.headers {
		b.WriteString(s.filled(h) + "\r\n")
	}
	switch {
	case r.chunked:
		half := len(body) / 2
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", half, body[:half], len(body)-half, body[half:])
	case body != "":
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// answer reads what came back.
func (s *server) answer(r *bufio.Reader, verb string, out fields) {
	res, err := http.ReadResponse(r, &http.Request{Method: verb})
	for err == nil && res.StatusCode < 200 { // 100 Continue
		res, err = http.ReadResponse(r, &http.Request{Method: verb})
	}
	if err != nil {
		out["answer.end"] = "no answer"
		return
	}
	defer res.Body.Close()
	out["answer.status"] = fmt.Sprint(res.StatusCode)
	for name, values := range res.Header {
		if !slices.Contains(unremarkable, name) {
			out["answer.header."+strings.ToLower(name)] = strings.Join(values, ", ")
		}
	}
	body, err := io.ReadAll(res.Body)
	out["answer.end"] = "whole"
	if err != nil {
		out["answer.end"] = "cut"
		return // how much came before it was cut is chance
	}
	body = unpacked(body, res.Header.Get("Content-Encoding"))
	var e struct{ Error, Message any }
	switch {
	case res.StatusCode >= 400 && json.Unmarshal(body, &e) == nil:
		out["answer.error"], out["answer.message"] = fmt.Sprint(e.Error), fmt.Sprint(e.Message)
	default:
		out["answer.body"] = shown(body)
	}
}

// unpacked is a body without its encoding; one that is not in it stays as it is.
func unpacked(b []byte, encoding string) []byte {
	var r io.Reader
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return b
		}
		r = z
	case "br":
		r = brotli.NewReader(bytes.NewReader(b))
	default:
		return b
	}
	if plain, err := io.ReadAll(r); err == nil {
		return plain
	}
	return b
}

// shown is a short body itself, or what it is known by.
func shown(b []byte) string {
	if len(b) > 400 || slices.ContainsFunc(b, func(c byte) bool { return c < ' ' || c > '~' }) {
		return fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b))[:40]
	}
	return string(b)
}

// call is one that the service saw.
type call struct {
	Method, Target, Body string
	Headers              [][2]string
	Token                map[string]any
}

func (c call) put(prefix string, out fields) {
	out[prefix+"method"], out[prefix+"target"], out[prefix+"body"] = c.Method, c.Target, c.Body
	for _, h := range c.Headers {
		name := prefix + "header." + h[0]
		if h[0] == "authorization" {
			continue // call.token
		}
		if old, ok := out[name]; ok {
			h[1] = old + ", " + h[1] // a list in several lines is the same list
		}
		out[name] = h[1]
	}
	for k, v := range c.Token {
		out[prefix+"token."+k] = fmt.Sprint(v)
	}
}

// seen is what the service saw since it was last asked.
func (s *server) seen(ctx context.Context) (calls []call, err error) {
	err = s.ask(ctx, "GET", "http://"+s.service+"/_seen", "", nil, &calls)
	return calls, err
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// ask makes an ordinary call of JSON.
func (s *server) ask(ctx context.Context, verb, url, token string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, verb, url, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case strings.HasPrefix(token, "admin:"):
		r.SetBasicAuth("admin", strings.TrimPrefix(token, "admin:"))
	case token != "":
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = &refusal{res.StatusCode, fmt.Sprintf("%s: %s: %s %.300s", s.name, url, res.Status, text)}
	}
	if err == nil && out != nil {
		if err = json.Unmarshal(text, out); err != nil {
			err = errors.Join(fmt.Errorf("%s: %s", s.name, url), err)
		}
	}
	return err
}

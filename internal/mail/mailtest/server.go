// Package mailtest has SMTP servers for tests. [Server] is a small one on loopback: it speaks the protocol for real, keeps
// what it accepted, and fails on request. [Box] is somebody else's, with TLS and passwords, and is for programs, too.
package mailtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"
)

// Received is a message that the server answered for with 250.
type Received struct {
	From, To  string
	MessageID string
	Header    mail.Header
	Body      string // encoded, as it came
}

// Server is one. Restart it to have it come back on the same port.
type Server struct {
	t    testing.TB
	addr string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool // false: broken by Stop
	got      []Received
	sessions int
	hook     func(Step, string) Verdict
	wg       sync.WaitGroup
}

// Step is a moment of a session at which a hook may speak up.
type Step string

// The steps.
const (
	Rcpt     Step = "RCPT" // with the recipient
	Data     Step = "DATA"
	Accepted Step = "ACCEPTED" // with the Message-ID: it is kept unless refused here, the answer is not sent yet
)

// Verdict is what a hook decides. The zero Verdict lets go on.
type Verdict struct {
	Reply string // "451 later": instead of the good answer
	Drop  bool   // the connection breaks instead of an answer
}

// Start begins a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	s.Restart()
	t.Cleanup(s.Stop)
	return s
}

// URL is how to reach it.
func (s *Server) URL() string { return "smtp://" + s.addr }

// Hook sets what decides at each step; nil: all is well.
func (s *Server) Hook(f func(Step, string) Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// Got is what was accepted so far.
func (s *Server) Got() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received(nil), s.got...)
}

// Sessions is how many connections there were.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Stop breaks all connections and takes no more.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	for c := range s.conns {
		s.conns[c] = false
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Restart listens again, on the port it had.
func (s *Server) Restart() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr, s.listener = l.Addr().String(), l
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.sessions++
			s.mu.Unlock()
			s.wg.Go(func() {
				defer func() {
					_ = c.Close()
					s.mu.Lock()
					delete(s.conns, c)
					s.mu.Unlock()
				}()
				_ = s.serve(c) // a broken connection is no news here
			})
		}
	})
}

func (s *Server) judge(step Step, what string) Verdict {
	s.mu.Lock()
	f := s.hook
	s.mu.Unlock()
	if f == nil {
		return Verdict{}
	}
	return f(step, what)
}

func (s *Server) serve(c net.Conn) error {
	text := textproto.NewConn(c)
	reply := func(v Verdict, good string) error {
		if v.Drop {
			return io.ErrClosedPipe
		}
		if v.Reply != "" {
			good = v.Reply
		}
		return text.PrintfLine("%s", good)
	}
	if err := text.PrintfLine("220 mailtest ESMTP"); err != nil {
		return err
	}
	var from, to string
	for {
		line, err := text.ReadLine()
		if err != nil {
			return err
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			err = text.PrintfLine("250-mailtest\r\n250-8BITMIME\r\n250 SIZE 10000000")
		case "MAIL":
			from = address(rest)
			err = text.PrintfLine("250 ok")
		case "RCPT":
			to = address(rest)
			err = reply(s.judge(Rcpt, to), "250 ok")
		case "DATA":
			v := s.judge(Data, to)
			if err = reply(v, "354 go ahead"); err != nil || v.Reply != "" {
				break
			}
			var r Received
			if r, err = receive(text); err != nil {
				return err
			}
			r.From, r.To = from, to
			// Kept and answered for under one lock, so that Stop never comes between.
			v = s.judge(Accepted, r.MessageID)
			s.mu.Lock()
			if !s.conns[c] {
				s.mu.Unlock()
				return net.ErrClosed
			}
			if v.Reply == "" {
				s.got = append(s.got, r)
			}
			err = reply(v, "250 accepted")
			s.mu.Unlock()
		case "RSET", "NOOP":
			err = text.PrintfLine("250 ok")
		case "QUIT":
			return text.PrintfLine("221 bye")
		default:
			err = text.PrintfLine("500 what?")
		}
		if err != nil {
			return err
		}
	}
}

// receive reads a message up to its final dot; without one there is none.
func receive(text *textproto.Conn) (Received, error) {
	raw, err := text.ReadDotBytes()
	if err != nil {
		return Received{}, err
	}
	m, err := mail.ReadMessage(bufio.NewReader(strings.NewReader(string(raw))))
	if err != nil {
		return Received{}, fmt.Errorf("message: %w", err)
	}
	body, err := io.ReadAll(m.Body)
	return Received{MessageID: strings.Trim(m.Header.Get("Message-Id"), "<>"), Header: m.Header, Body: string(body)}, err
}

func address(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

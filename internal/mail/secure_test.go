package mail_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
)

var aMessage = mail.Message{Subject: "s", Text: "t", HTML: "<p>t</p>"}

// deliver sends a message to what a URL names.
func deliver(t *testing.T, text string, from *mailtest.Secure) error {
	t.Helper()
	dest, err := mail.ParseServer(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := dest.Trusting(from.Roots).Dial(t.Context(), "pds.example.com")
	if err != nil {
		return err
	}
	defer c.Close()
	e := mail.Envelope{FromName: "PDS", From: "noreply@pds.example.com", To: "alice@example.com", MessageID: "x@pds.example.com", Date: time.Now()}
	return c.Send(e, aMessage, func() error { return nil })
}

// TLS from the start and by STARTTLS, and each way to send a password, against an implementation of somebody else's.
func TestSecureServers(t *testing.T) {
	t.Parallel()
	login := url.UserPassword(mailtest.User, mailtest.Password).String() + "@"
	for _, tt := range []struct {
		what string
		cfg  mailtest.SecureConfig
		url  string // ADDR stands for the server's
		seen string // "": it must fail
	}{
		{"STARTTLS where it is offered", mailtest.SecureConfig{}, "smtp://ADDR", "tls, mail"},
		{"STARTTLS required", mailtest.SecureConfig{}, "smtp://ADDR?tls=required", "tls, mail"},
		{"STARTTLS refused", mailtest.SecureConfig{}, "smtp://ADDR?tls=none", "mail"},
		{"no STARTTLS, not asked for", mailtest.SecureConfig{Plain: true}, "smtp://ADDR", "mail"},
		{"no STARTTLS, but required", mailtest.SecureConfig{Plain: true}, "smtp://ADDR?tls=required", ""},
		{"TLS from the start", mailtest.SecureConfig{Implicit: true}, "smtps://ADDR", "tls, mail"},
		{"plain speech to a TLS port", mailtest.SecureConfig{Plain: true}, "smtps://ADDR", ""},
		{"another's certificate", mailtest.SecureConfig{Name: "other.example.com"}, "smtp://ADDR?tls=required", ""},
		{"another's certificate, optional", mailtest.SecureConfig{Name: "other.example.com"}, "smtp://ADDR", ""},
		{"another's certificate from the start", mailtest.SecureConfig{Name: "other.example.com", Implicit: true}, "smtps://ADDR", ""},
		{"PLAIN", mailtest.SecureConfig{Mechanism: "PLAIN"}, "smtp://" + login + "ADDR", "auth PLAIN, tls, mail"},
		{"LOGIN", mailtest.SecureConfig{Mechanism: "LOGIN"}, "smtp://" + login + "ADDR", "auth LOGIN, tls, mail"},
		{"CRAM-MD5", mailtest.SecureConfig{Mechanism: "CRAM-MD5"}, "smtp://" + login + "ADDR", "auth CRAM-MD5, tls, mail"},
		{"PLAIN in TLS from the start", mailtest.SecureConfig{Mechanism: "PLAIN", Implicit: true}, "smtps://" + login + "ADDR", "auth PLAIN, tls, mail"},
		{"CRAM-MD5 without TLS", mailtest.SecureConfig{Mechanism: "CRAM-MD5", Plain: true}, "smtp://" + login + "ADDR", "auth CRAM-MD5, mail"},
		{"PLAIN without TLS: the password stays here", mailtest.SecureConfig{Mechanism: "PLAIN", Plain: true}, "smtp://" + login + "ADDR", ""},
		{"LOGIN without TLS", mailtest.SecureConfig{Mechanism: "LOGIN", Plain: true}, "smtp://" + login + "ADDR?tls=none", ""},
		{"a wrong password", mailtest.SecureConfig{Mechanism: "PLAIN"}, "smtp://" + mailtest.User[:5] + ":wrong@ADDR", ""},
		{"no password where one is needed", mailtest.SecureConfig{Mechanism: "PLAIN"}, "smtp://ADDR", ""},
		{"a password where none is asked for", mailtest.SecureConfig{}, "smtp://" + login + "ADDR", ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			server := mailtest.StartSecure(t, tt.cfg)
			err := deliver(t, strings.Replace(tt.url, "ADDR", server.Addr, 1), server)
			if (err == nil) != (tt.seen != "") || server.Seen() != tt.seen {
				t.Errorf("%v; the server saw %q, want %q", err, server.Seen(), tt.seen)
			}
			if err == nil {
				return
			}
			// All of these the operator can mend: the message must not be given up.
			if errors.Is(err, mail.ErrRefused) {
				t.Errorf("given up for good: %v", err)
			}
			if shown := err.Error(); strings.Contains(shown, mailtest.Password) || strings.Contains(shown, "wrong") || strings.Contains(shown, url.QueryEscape(mailtest.Password)) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

// Servers that are none: each ends the attempt as one that may pass, in bounded time.
func TestBrokenServers(t *testing.T) {
	t.Parallel()
	for what, speak := range map[string]func(net.Conn){
		"hangs up at once":      func(net.Conn) {},
		"full":                  func(c net.Conn) { _, _ = io.WriteString(c, "421 too many connections\r\n") },
		"not welcome":           func(c net.Conn) { _, _ = io.WriteString(c, "554 go away\r\n") },
		"another protocol":      func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"noise":                 func(c net.Conn) { _, _ = c.Write([]byte{0, 1, 2, 0xff, '\n'}) },
		"an endless line":       func(c net.Conn) { _, _ = io.WriteString(c, "220 "+strings.Repeat("x", 1<<20)) },
		"gone after the EHLO":   func(c net.Conn) { _, _ = io.WriteString(c, "220 hi\r\n"); _, _ = bufio.NewReader(c).ReadString('\n') },
		"no to everything else": func(c net.Conn) { say(c, "220 hi", "250 hello", "550 no", "221 bye") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					speak(c)
					_ = c.Close()
				}
			}()
			began := time.Now()
			err = deliver(t, "smtp://"+l.Addr().String(), &mailtest.Secure{})
			if err == nil || errors.Is(err, mail.ErrRefused) || time.Since(began) > time.Minute {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		})
	}
}

// say answers line by line.
func say(c net.Conn, lines ...string) {
	r := bufio.NewReader(c)
	for i, line := range lines {
		if i > 0 {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
		}
		if _, err := io.WriteString(c, line+"\r\n"); err != nil {
			return
		}
	}
}

// A server that says nothing any more, at each point of a session.
func TestStallingServers(t *testing.T) {
	t.Parallel()
	for _, lines := range [][]string{
		{}, {"220 hi"}, {"220 hi", "250 hello"}, {"220 hi", "250 hello", "250 sender"},
		{"220 hi", "250 hello", "250 sender", "250 recipient"},
		{"220 hi", "250 hello", "250 sender", "250 recipient", "354 go on"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				say(c, lines...)
				_, _ = io.Copy(io.Discard, c) // until the other side has enough
				_ = c.Close()
			}
		}()
		dest, err := mail.ParseServer("smtp://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c, err := dest.Hurried(150*time.Millisecond).Dial(t.Context(), "pds.example.com")
		if err == nil {
			err = c.Send(mail.Envelope{From: "a@example.com", To: "b@example.com", MessageID: "x@y", Date: began}, aMessage, func() error { return nil })
		}
		if err == nil || errors.Is(err, mail.ErrRefused) {
			t.Errorf("silent after %d lines: %v", len(lines), err)
		}
		_ = l.Close()
	}
}

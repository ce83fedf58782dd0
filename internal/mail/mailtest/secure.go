package mailtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/auroralocus/locus/internal/certs/certstest"
)

// The only user of a [Secure] server.
const (
	User     = "locus@example.com"
	Password = "p@ss:word/with?everything"
)

// Secure is an SMTP server with TLS and passwords, somebody else's implementation.
type Secure struct {
	Addr  string         // 127.0.0.1:port
	Roots *x509.CertPool // who signed its certificate

	mechanism string
	mu        sync.Mutex
	seen      []string // what sessions did: "tls", "auth PLAIN", "mail"
}

// SecureConfig is how a server behaves.
type SecureConfig struct {
	Implicit  bool   // TLS from the first byte; else STARTTLS
	Plain     bool   // no TLS at all
	Mechanism string // PLAIN, LOGIN or CRAM-MD5: without a session that used it nothing is taken; "": nobody is asked
	Name      string // of the certificate instead of 127.0.0.1
}

// StartSecure begins a server that ends with the test.
func StartSecure(t testing.TB, cfg SecureConfig) *Secure {
	t.Helper()
	s := &Secure{Roots: x509.NewCertPool(), mechanism: cfg.Mechanism}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{s: s, c: c}, nil }))
	server.Domain, server.AllowInsecureAuth, server.ErrorLog = "mail.test", true, log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = listener.Addr().String()
	if !cfg.Plain {
		server.TLSConfig = s.certify(t, cfg.Name)
		if cfg.Implicit {
			listener = tls.NewListener(listener, server.TLSConfig)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with the listener
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s
}

// Seen is what sessions did so far, in order.
func (s *Secure) Seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, ", ")
}

func (s *Secure) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, what)
}

func (s *Secure) certify(t testing.TB, name string) *tls.Config {
	t.Helper()
	ca, err := certstest.New()
	if err != nil {
		t.Fatal(err)
	}
	s.Roots = ca.Pool
	if name == "" {
		name = "127.0.0.1"
	}
	cert, err := ca.Certificate(name)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
}

// session is one client's.
type session struct {
	s      *Secure
	c      *smtp.Conn
	signed bool
}

func (x *session) AuthMechanisms() []string {
	if x.s.mechanism == "" {
		return nil
	}
	return []string{x.s.mechanism}
}

func (x *session) Auth(mechanism string) (sasl.Server, error) {
	sign := func(user, password string) error {
		if user != User || password != Password {
			return smtp.ErrAuthFailed
		}
		x.s.note("auth " + mechanism)
		x.signed = true
		return nil
	}
	switch {
	case mechanism != x.s.mechanism:
		return nil, smtp.ErrAuthUnknownMechanism
	case mechanism == "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return sign(user, password) }), nil
	case mechanism == "LOGIN":
		return &loginServer{sign: sign}, nil
	}
	return &cramServer{sign: func() error { return sign(User, Password) }}, nil
}

func (x *session) Reset() {}

func (x *session) Logout() error { return nil }

func (x *session) Mail(string, *smtp.MailOptions) error {
	if x.s.mechanism != "" && !x.signed {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	return nil
}

func (x *session) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (x *session) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if _, ok := x.c.TLSConnectionState(); ok {
		x.s.note("tls")
	}
	x.s.note("mail")
	return nil
}

// loginServer asks for user and password, one after the other.
type loginServer struct {
	sign func(user, password string) error
	user string
	step int
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.sign(l.user, string(response))
}

// cramServer is CRAM-MD5: the password itself never crosses the line.
// spec: RFC 2195 section 2
type cramServer struct {
	sign func() error
	sent bool
}

const cramChallenge = "<1896.697170952@mail.test>"

func (c *cramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if !c.sent {
		c.sent = true
		return []byte(cramChallenge), false, nil
	}
	mac := hmac.New(md5.New, []byte(Password))
	mac.Write([]byte(cramChallenge))
	want := User + " " + hex.EncodeToString(mac.Sum(nil))
	if subtle.ConstantTimeCompare(response, []byte(want)) != 1 {
		return nil, true, smtp.ErrAuthFailed
	}
	return nil, true, c.sign()
}

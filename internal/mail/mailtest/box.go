package mailtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Box is an SMTP server of somebody else's making, for tests and for programs: it asks for passwords as it is told to, and
// keeps what it took.
type Box struct {
	Addr string // host:port

	cfg    BoxConfig
	server *smtp.Server
	done   chan struct{}

	mu   sync.Mutex
	came map[string][]string // texts by receiver
	seen []string            // what sessions did: "tls", "auth PLAIN", "mail"
}

// BoxConfig is how a server behaves.
type BoxConfig struct {
	Addr           string      // where it listens; "": a free port of loopback
	TLS            *tls.Config // nil: it offers none
	Implicit       bool        // TLS from the first byte; else STARTTLS
	Mechanism      string      // PLAIN, LOGIN or CRAM-MD5: without a session that used it nothing is taken; "": nobody is asked
	User, Password string      // the only ones that are good
}

// Open begins a server. Where it offers TLS it asks for passwords only behind it.
func Open(cfg BoxConfig) (*Box, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	b := &Box{Addr: l.Addr().String(), cfg: cfg, done: make(chan struct{}), came: map[string][]string{}}
	b.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{b: b, c: c}, nil }))
	b.server.Domain, b.server.TLSConfig, b.server.AllowInsecureAuth = "mail.test", cfg.TLS, cfg.TLS == nil
	b.server.MaxRecipients, b.server.MaxMessageBytes, b.server.ErrorLog = 100, 1<<20, log.New(io.Discard, "", 0)
	if cfg.Implicit {
		l = tls.NewListener(l, cfg.TLS)
	}
	go func() {
		defer close(b.done)
		_ = b.server.Serve(l) // ends with the listener
	}()
	return b, nil
}

// Close ends it.
func (b *Box) Close() {
	_ = b.server.Close()
	<-b.done
}

// To is what somebody got so far, headers too, the oldest first.
func (b *Box) To(address string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.came[strings.ToLower(address)]...)
}

// Seen is what sessions did so far, in order.
func (b *Box) Seen() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.seen, ", ")
}

func (b *Box) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, what)
}

// session is one client's.
type session struct {
	b      *Box
	c      *smtp.Conn
	signed bool
	to     []string
}

func (x *session) AuthMechanisms() []string {
	if x.b.cfg.Mechanism == "" {
		return nil
	}
	return []string{x.b.cfg.Mechanism}
}

func (x *session) Auth(mechanism string) (sasl.Server, error) {
	good := x.b.cfg
	sign := func(user, password string) error {
		if user != good.User || password != good.Password {
			return smtp.ErrAuthFailed
		}
		x.b.note("auth " + mechanism)
		x.signed = true
		return nil
	}
	switch {
	case mechanism != good.Mechanism:
		return nil, smtp.ErrAuthUnknownMechanism
	case mechanism == "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return sign(user, password) }), nil
	case mechanism == "LOGIN":
		return &loginServer{sign: sign}, nil
	}
	return &cramServer{good: good, sign: func() error { return sign(good.User, good.Password) }}, nil
}

func (x *session) Reset() { x.to = nil }

func (x *session) Logout() error { return nil }

func (x *session) Mail(string, *smtp.MailOptions) error {
	if x.b.cfg.Mechanism != "" && !x.signed {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.to = append(x.to, strings.ToLower(to))
	return nil
}

func (x *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if _, ok := x.c.TLSConnectionState(); ok {
		x.b.note("tls")
	}
	x.b.note("mail")
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	for _, to := range x.to {
		x.b.came[to] = append(x.b.came[to], string(text))
	}
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
	good BoxConfig
	sign func() error
	sent bool
}

const cramChallenge = "<1896.697170952@mail.test>"

func (c *cramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if !c.sent {
		c.sent = true
		return []byte(cramChallenge), false, nil
	}
	mac := hmac.New(md5.New, []byte(c.good.Password))
	mac.Write([]byte(cramChallenge))
	want := c.good.User + " " + hex.EncodeToString(mac.Sum(nil))
	if subtle.ConstantTimeCompare(response, []byte(want)) != 1 {
		return nil, true, smtp.ErrAuthFailed
	}
	return nil, true, c.sign()
}

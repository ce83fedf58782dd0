package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// How long the server may take: to be reached and greeted, and for each message.
const (
	dialTime = 20 * time.Second
	sendTime = 30 * time.Second
)

// Server is where mail goes. The zero value is none.
type Server struct {
	host, user, password string
	port                 int
	implicitTLS          bool
	policy               gomail.TLSPolicy
	roots                *x509.CertPool // nil: the system's
	dialTime, sendTime   time.Duration
}

// ParseServer reads smtp://user:password@host:port or smtps://…. smtps speaks TLS from the start (port 465); smtp goes
// over to it by STARTTLS (port 587): always where a password is sent to another machine, otherwise if the server offers
// it. ?tls=required, optional or none says otherwise. Errors: [ErrServer].
func ParseServer(text string) (Server, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Server{}, fmt.Errorf("%w: not a URL", ErrServer) // its text would repeat the password
	}
	s := Server{host: u.Hostname(), user: u.User.Username(), dialTime: dialTime, sendTime: sendTime}
	s.password, _ = u.User.Password()
	switch u.Scheme {
	case "smtp":
		s.port = 587
	case "smtps":
		s.port, s.implicitTLS = 465, true
	default:
		return Server{}, fmt.Errorf("%w: begin it with smtp:// or smtps://", ErrServer)
	}
	if s.host == "" || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return Server{}, fmt.Errorf("%w: it has a host and no path", ErrServer)
	}
	if p := u.Port(); p != "" {
		if s.port, err = strconv.Atoi(p); err != nil || s.port < 1 || s.port > 65535 {
			return Server{}, fmt.Errorf("%w: bad port", ErrServer)
		}
	}
	s.policy = gomail.TLSOpportunistic
	if s.user != "" && !s.loopback() {
		s.policy = gomail.TLSMandatory
	}
	switch u.Query().Get("tls") {
	case "":
	case "required":
		s.policy = gomail.TLSMandatory
	case "optional":
		s.policy = gomail.TLSOpportunistic
	case "none":
		s.policy = gomail.NoTLS
	default:
		return Server{}, fmt.Errorf("%w: tls is required, optional or none", ErrServer)
	}
	return s, nil
}

// IsZero says whether there is no server.
func (s Server) IsZero() bool { return s.host == "" }

// String names the server, without user and password.
func (s Server) String() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

// GoString keeps the password out of %#v too.
func (s Server) GoString() string { return "mail.Server(" + s.String() + ")" }

func (s Server) loopback() bool {
	ip := net.ParseIP(s.host)
	return s.host == "localhost" || ip != nil && ip.IsLoopback()
}

// Envelope is what stands around a message.
type Envelope struct {
	FromName, From, To string
	MessageID          string // without angle brackets: the same at every attempt, so that receivers know a second copy
	Date               time.Time
}

// Conn is a session with a server. It is not for concurrent use.
type Conn struct {
	client   *smtp.Client
	sendTime time.Duration
}

// Dial begins a session; helo is our own host name, "": that of the machine. Errors: [ErrUnreachable].
func (s Server) Dial(ctx context.Context, helo string) (*Conn, error) {
	if helo == "" {
		if name, err := os.Hostname(); err == nil && name != "" {
			helo = name
		} else {
			helo = "localhost"
		}
	}
	opts := []gomail.Option{gomail.WithPort(s.port), gomail.WithTimeout(s.dialTime), gomail.WithHELO(helo)}
	opts = append(opts, gomail.WithTLSConfig(&tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12, RootCAs: s.roots}))
	if s.implicitTLS {
		opts = append(opts, gomail.WithSSL())
	} else {
		opts = append(opts, gomail.WithTLSPolicy(s.policy))
	}
	if s.user != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.user), gomail.WithPassword(s.password))
	}
	c, err := gomail.NewClient(s.host, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, s, err)
	}
	client, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, s, err)
	}
	return &Conn{client, s.sendTime}, nil
}

// Close ends the session.
func (c *Conn) Close() {
	if c.client.UpdateDeadline(5*time.Second) != nil || c.client.Quit() != nil {
		_ = c.client.Close() // gone already
	}
}

// Send hands one message over. handOver is called when everything but the final dot was sent: until it returns the
// server cannot have accepted the message, afterwards it may have, whatever else happens. An error of it ends the
// session.
//
// Errors: [ErrRefused] when the server will never take it; any other may pass. After one the session may be broken:
// close it.
func (c *Conn) Send(e Envelope, m Message, handOver func() error) error {
	msg, err := compose(e, m)
	if err != nil {
		return err
	}
	if err := c.client.UpdateDeadline(c.sendTime); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	if err := c.client.Mail("<" + e.From + ">"); err != nil {
		// Whatever the code: it is about us (no relaying without a password, a sender that may not), and the operator
		// can mend it while the message is worth sending.
		return fmt.Errorf("send mail: sender: %w", err)
	}
	if err := c.client.Rcpt("<" + e.To + ">"); err != nil {
		return answered("recipient", err)
	}
	w, err := c.client.Data()
	if err != nil {
		return answered("data", err)
	}
	if _, err := msg.WriteTo(w); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	if err := handOver(); err != nil {
		_ = c.client.Close() // without the final dot it was not sent
		return err
	}
	if err := w.Close(); err != nil {
		return answered("message", err)
	}
	return nil
}

func compose(e Envelope, m Message) (*gomail.Msg, error) {
	for _, addr := range []string{e.From, e.To} {
		if a, err := netmail.ParseAddress(addr); err != nil || a.Address != addr {
			return nil, fmt.Errorf("%w: unusable address", ErrRefused)
		}
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.FromFormat(e.FromName, e.From); err != nil {
		return nil, fmt.Errorf("%w: sender: %w", ErrRefused, err)
	}
	if err := msg.To(e.To); err != nil {
		return nil, fmt.Errorf("%w: recipient: %w", ErrRefused, err)
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(e.MessageID)
	msg.SetDateWithValue(e.Date)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

// answered tells a refusal for good (5xx) from one that may pass.
func answered(what string, err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 && reply.Code < 600 {
		return fmt.Errorf("%w: %s: %w", ErrRefused, what, err)
	}
	return fmt.Errorf("send mail: %s: %w", what, err)
}

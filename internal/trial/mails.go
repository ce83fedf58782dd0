package main

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/auroralocus/locus/internal/certs/certstest"
)

// mails is a mail server as providers have it: STARTTLS, and a password before anything is taken.
type mails struct {
	server *smtp.Server

	mu   sync.Mutex
	came map[string][]string // texts by receiver
}

func startMails(ca *certstest.Authority) (*mails, error) {
	cert, err := ca.Certificate(mailHost)
	if err != nil {
		return nil, err
	}
	m := &mails{came: map[string][]string{}}
	m.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &letter{mails: m}, nil }))
	m.server.Domain, m.server.TLSConfig, m.server.ErrorLog = mailHost, &tls.Config{Certificates: []tls.Certificate{*cert}}, log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", outside+":587")
	if err != nil {
		return nil, err
	}
	go func() { _ = m.server.Serve(l) }() // until it is closed
	return m, nil
}

func (m *mails) close() { _ = m.server.Close() }

// to is what somebody has got.
func (m *mails) to(address string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.came[strings.ToLower(address)]...)
}

// letter is one session.
type letter struct {
	mails *mails
	known bool
	to    []string
}

func (l *letter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (l *letter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != mailUser || subtle.ConstantTimeCompare([]byte(password), []byte(mailPassword)) != 1 {
			return smtp.ErrAuthFailed
		}
		l.known = true
		return nil
	}), nil
}

func (l *letter) Reset()        { l.to = nil }
func (l *letter) Logout() error { return nil }

func (l *letter) Mail(string, *smtp.MailOptions) error {
	if !l.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (l *letter) Rcpt(to string, _ *smtp.RcptOptions) error {
	if len(l.to) == 100 {
		return errors.New("too many receivers")
	}
	l.to = append(l.to, strings.ToLower(to))
	return nil
}

func (l *letter) Data(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	l.mails.mu.Lock()
	defer l.mails.mu.Unlock()
	for _, to := range l.to {
		l.mails.came[to] = append(l.mails.came[to], string(text))
	}
	return nil
}

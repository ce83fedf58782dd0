package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// mails takes all mail, and tells drivers what came: GET /?to=ADDRESS answers a list of texts, the oldest first.
type mails struct {
	smtp *smtp.Server
	at   net.Listener
	http *http.Server

	mu   sync.Mutex
	came []message
}

type message struct {
	To   string `json:"to"`
	Text string `json:"text"` // headers too, as they came
}

const (
	smtpAddr = "127.0.0.1:2525"
	mailAddr = "127.0.0.1:2526"
)

func startMails() (*mails, error) {
	m := &mails{}
	m.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &letter{mails: m}, nil }))
	m.smtp.Domain = "mail.example.net"
	l, err := net.Listen("tcp", smtpAddr)
	if err != nil {
		return nil, err
	}
	go func() { _ = m.smtp.Serve(l) }() // until it is closed
	if m.at, err = net.Listen("tcp", mailAddr); err != nil {
		return nil, err
	}
	m.http = &http.Server{Handler: m}
	go func() { _ = m.http.Serve(m.at) }()
	return m, nil
}

func (m *mails) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := []message{}
	m.mu.Lock()
	for _, c := range m.came {
		if strings.EqualFold(c.To, r.URL.Query().Get("to")) {
			out = append(out, c)
		}
	}
	m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the reader may be gone
}

func (m *mails) close() {
	_ = m.smtp.Close()
	_ = m.http.Close()
}

// letter is one SMTP session.
type letter struct {
	mails *mails
	to    []string
}

func (l *letter) Reset()        { l.to = nil }
func (l *letter) Logout() error { return nil }

func (l *letter) Mail(string, *smtp.MailOptions) error { return nil }

func (l *letter) Rcpt(to string, _ *smtp.RcptOptions) error {
	if a, err := mail.ParseAddress(to); err == nil {
		to = a.Address
	}
	l.to = append(l.to, to)
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
		l.mails.came = append(l.mails.came, message{to, string(text)})
	}
	return nil
}

package main

import (
	"encoding/json"
	"net"
	"net/http"

	"github.com/auroralocus/locus/internal/mail/mailtest"
)

// mails takes all mail, and tells drivers what came: GET /?to=ADDRESS answers a list of texts, the oldest first.
type mails struct {
	box  *mailtest.Box
	http *http.Server
}

const (
	smtpAddr = "127.0.0.1:2525"
	mailAddr = "127.0.0.1:2526"
)

func startMails() (*mails, error) {
	box, err := mailtest.Open(mailtest.BoxConfig{Addr: smtpAddr})
	if err != nil {
		return nil, err
	}
	m := &mails{box: box}
	m.http = &http.Server{Handler: m}
	at, err := net.Listen("tcp", mailAddr)
	if err != nil {
		m.close()
		return nil, err
	}
	go func() { _ = m.http.Serve(at) }() // until it is closed
	return m, nil
}

func (m *mails) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(m.box.To(r.URL.Query().Get("to"))) // the reader may be gone
}

func (m *mails) close() {
	m.box.Close()
	_ = m.http.Close()
}

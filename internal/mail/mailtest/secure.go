package mailtest

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/auroralocus/locus/internal/certs/certstest"
)

// The only user of a [Secure] server.
const (
	User     = "locus@example.com"
	Password = "p@ss:word/with?everything"
)

// Secure is a server with a certificate and passwords, which ends with a test.
type Secure struct {
	*Box
	Roots *x509.CertPool // who signed its certificate
}

// SecureConfig is how a server behaves.
type SecureConfig struct {
	Implicit  bool   // TLS from the first byte; else STARTTLS
	Plain     bool   // no TLS at all
	Mechanism string // as [BoxConfig] has it
	Name      string // of the certificate instead of 127.0.0.1
}

// StartSecure begins one.
func StartSecure(t testing.TB, cfg SecureConfig) *Secure {
	t.Helper()
	ca, err := certstest.New()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name == "" {
		cfg.Name = "127.0.0.1"
	}
	box := BoxConfig{Implicit: cfg.Implicit, Mechanism: cfg.Mechanism, User: User, Password: Password}
	if !cfg.Plain {
		cert, err := ca.Certificate(cfg.Name)
		if err != nil {
			t.Fatal(err)
		}
		box.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
	}
	b, err := Open(box)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &Secure{Box: b, Roots: ca.Pool}
}

// Package certstest is a certificate authority for tests, and for programs that try the server in a small internet of their
// own. Nothing in it is secret.
package certstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// life is how long an authority and its certificates have held, and how much longer they hold: longer than what the doctor
// calls soon.
const life = 30 * 24 * time.Hour

// Authority signs certificates with one key, which is also the key of all of them.
type Authority struct {
	PEM  []byte         // its own certificate
	Pool *x509.CertPool // who trusts it, and nobody else

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes one.
func New() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	c := template("a small internet", time.Now().Add(life))
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	a := &Authority{key: key, Pool: x509.NewCertPool(), PEM: text("CERTIFICATE", der)}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	a.Pool.AddCert(a.cert)
	return a, nil
}

func template(name string, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-life), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// Certificate makes one for names and addresses.
func (a *Authority) Certificate(names ...string) (*tls.Certificate, error) {
	return a.sign(time.Now().Add(life), names)
}

// Expired makes one that has ended an hour ago.
func (a *Authority) Expired(names ...string) (*tls.Certificate, error) {
	return a.sign(time.Now().Add(-time.Hour), names)
}

func (a *Authority) sign(end time.Time, names []string) (*tls.Certificate, error) {
	c := template(names[0], end)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", names[0], err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: a.key}, nil
}

// Write makes a certificate for names and addresses, and puts it and its key into files. Behind it in the file stands the
// authority's own, so that the file is also one of whom to trust.
func (a *Authority) Write(certFile, keyFile string, names ...string) error {
	c, err := a.Certificate(names...)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	chain := append(text("CERTIFICATE", c.Certificate[0]), a.PEM...)
	return errors.Join(os.WriteFile(certFile, chain, 0o644), os.WriteFile(keyFile, text("PRIVATE KEY", key), 0o600))
}

func text(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

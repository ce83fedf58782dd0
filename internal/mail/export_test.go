package mail

import (
	"crypto/x509"
	"time"
)

// Trusting is the server with other roots than the system's.
func (s Server) Trusting(roots *x509.CertPool) Server {
	s.roots = roots
	return s
}

// Hurried is the server with less patience than it deserves.
func (s Server) Hurried(d time.Duration) Server {
	s.dialTime, s.sendTime = d, d
	return s
}

package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// filesEvery is how often files are looked at.
const filesEvery = 5 * time.Second

// Pair is a certificate with its chain, and its key, in PEM files.
type Pair struct{ Certificate, Key string }

// Files are certificates that somebody else gets and puts into files. They are read again when they change.
type Files struct {
	pairs []Pair
	log   *slog.Logger
	now   atomic.Pointer[filesRead]
}

type filesRead struct {
	certs  []tls.Certificate
	states []string
}

// OpenFiles reads them.
func OpenFiles(pairs []Pair, log *slog.Logger) (*Files, error) {
	f := &Files{pairs: pairs, log: log}
	read, err := f.read()
	if err != nil {
		return nil, err
	}
	f.now.Store(read)
	return f, nil
}

func (f *Files) read() (*filesRead, error) {
	out := &filesRead{}
	for _, p := range f.pairs {
		state, err := stateOf(p)
		if err != nil {
			return nil, err
		}
		c, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", p.Certificate, p.Key, err)
		}
		out.certs, out.states = append(out.certs, c), append(out.states, state)
	}
	return out, nil
}

// stateOf changes when a file does.
func stateOf(p Pair) (string, error) {
	var out string
	for _, name := range []string{p.Certificate, p.Key} {
		at, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		out += fmt.Sprintf("%d %d ", at.ModTime().UnixNano(), at.Size())
	}
	return out, nil
}

// Certificate is a tls.Config's GetCertificate. Errors: [ErrNoName].
func (f *Files) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	read, name := f.now.Load(), Normal(hello.ServerName)
	for i := range read.certs {
		if c := &read.certs[i]; name != "" && c.Leaf.VerifyHostname(name) == nil && hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return nil, ErrNoName
}

// Reload reads files again that have changed. What cannot be read leaves the old ones in use.
func (f *Files) Reload() error {
	old := f.now.Load()
	same := true
	var bad []error
	for i, p := range f.pairs {
		state, err := stateOf(p)
		bad = append(bad, err)
		same = same && state == old.states[i]
	}
	if err := errors.Join(bad...); err != nil || same {
		return err
	}
	read, err := f.read()
	if err != nil {
		return err
	}
	f.now.Store(read)
	for _, c := range read.certs {
		f.log.Info("a certificate was read again", "names", c.Leaf.DNSNames, "until", c.Leaf.NotAfter)
	}
	return nil
}

// Run reloads until the context ends.
func (f *Files) Run(ctx context.Context) error {
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(filesEvery):
		}
		err := f.Reload()
		if err != nil && err.Error() != failing {
			f.log.Error("changed certificates cannot be read; the old ones are served", "err", err)
		}
		if failing = ""; err != nil {
			failing = err.Error()
		}
	}
}

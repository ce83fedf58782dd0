package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// helloTime is how long a handshake waits for a certificate that is being made. Clients come again.
	helloTime  = 8 * time.Second
	helloCheck = 500 * time.Millisecond
	// Handshakes that wait at once: of one tenant, and in all.
	helloOfOne = 20
	helloInAll = 200
	// followOverlap is for clocks of processes that lie apart, and transactions that end late.
	followOverlap = 30 * time.Second
	followRows    = 10_000
	followEvery   = 3 * time.Second
)

// kept is a certificate in memory.
type kept struct {
	cert *tls.Certificate
	at   time.Time // when it was read
}

// waiter is the handshakes that wait for a certificate.
type waiter struct {
	n    int
	done chan struct{}
}

// Certificate is a tls.Config's GetCertificate. Errors: [ErrNoName], [ErrNotYet].
func (m *Manager) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := Normal(hello.ServerName)
	if slices.Equal(hello.SupportedProtos, []string{ChallengeProtocol}) {
		return m.challenge(hello, name)
	}
	if !plausible(name) {
		return nil, ErrNoName
	}
	if c := m.remembered(name); c != nil {
		return c, nil
	}
	ctx := hello.Context()
	w, err := m.names.For(ctx, name)
	if err != nil {
		return nil, err
	}
	if c, err := m.load(ctx, w); err == nil {
		return c, nil
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errExpired) {
		return nil, err
	}
	return m.await(ctx, w)
}

// challenge answers an authority that tries whether a name leads here, whichever process ordered.
func (m *Manager) challenge(hello *tls.ClientHelloInfo, name string) (*tls.Certificate, error) {
	if m.cfg.HTTPS == "" {
		return nil, ErrNoName
	}
	if _, ok := certmagic.GetACMEChallenge(name); !ok {
		if _, err := m.names.For(hello.Context(), name); err != nil {
			return nil, err // strangers cause no look into the store
		}
	}
	return m.direct.GetCertificate(hello)
}

// Challenge answers the same over HTTP. false: it is no such request.
func (m *Manager) Challenge(w http.ResponseWriter, r *http.Request) bool {
	if !certmagic.LooksLikeHTTPChallenge(r) {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = Normal(host)
	if _, ok := certmagic.GetACMEChallenge(host); !ok {
		if _, err := m.names.For(r.Context(), host); err != nil {
			http.NotFound(w, r)
			return true
		}
	}
	if !m.issuer.HandleHTTPChallenge(w, r) {
		http.NotFound(w, r)
	}
	return true
}

func (m *Manager) remembered(name string) *tls.Certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, subject := range []string{name, wildcardOf(name)} {
		if k, ok := m.kept.Get(subject); ok && m.cfg.Now().Before(k.cert.Leaf.NotAfter) {
			return k.cert
		}
	}
	return nil
}

func (m *Manager) drop(subject string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept.Remove(subject)
}

// errExpired: a certificate is there, and of no use.
var errExpired = errors.New("the certificate has expired")

// load brings a certificate from the store into memory.
func (m *Manager) load(ctx context.Context, w Wanted) (*tls.Certificate, error) {
	at := m.cfg.Now()
	leaf, cert, err := m.read(ctx, w.Subject)
	if err != nil {
		return nil, err
	}
	if !at.Before(leaf.NotAfter) {
		return nil, errExpired
	}
	size := int64(1024)
	for _, c := range cert.Certificate {
		size += 2 * int64(len(c))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept.Put(strconv.FormatInt(w.TenantID, 10), w.Subject, &kept{cert, at}, size)
	return cert, nil
}

// read reads a certificate and its key. Errors: fs.ErrNotExist.
func (m *Manager) read(ctx context.Context, subject string) (*x509.Certificate, *tls.Certificate, error) {
	issuer := m.configOf(subject).Issuers[0].IssuerKey()
	chain, err := m.store.Load(ctx, certmagic.StorageKeys.SiteCert(issuer, subject))
	if err != nil {
		return nil, nil, err
	}
	key, err := m.store.Load(ctx, certmagic.StorageKeys.SitePrivateKey(issuer, subject))
	if err != nil {
		return nil, nil, err
	}
	cert, err := tls.X509KeyPair(chain, key)
	clear(key)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate for %s: %w", subject, err)
	}
	return cert.Leaf, &cert, nil
}

// await writes down what is wanted, and waits for it.
func (m *Manager) await(ctx context.Context, w Wanted) (*tls.Certificate, error) {
	done, leave, ok := m.queue(w)
	if !ok {
		return nil, fmt.Errorf("%w: too many wait", ErrNotYet)
	}
	defer leave()
	if err := m.want(ctx, w); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	tick := time.NewTicker(helloCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ErrNotYet
		case <-done:
			done = nil // also of one that failed
		case <-tick.C:
		}
		if c, err := m.load(ctx, w); err == nil {
			return c, nil
		}
		if row, err := m.db.Control().GetTLSName(ctx, w.Subject); err == nil && row.Error != "" {
			return nil, fmt.Errorf("%w: %s", ErrNotYet, row.Error)
		}
	}
}

// queue counts a handshake that waits.
func (m *Manager) queue(w Wanted) (done <-chan struct{}, leave func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inAll >= helloInAll || m.waiting[w.TenantID] >= helloOfOne {
		return nil, nil, false
	}
	m.inAll++
	m.waiting[w.TenantID]++
	at := m.waiters[w.Subject]
	if at == nil {
		at = &waiter{done: make(chan struct{})}
		m.waiters[w.Subject] = at
	}
	at.n++
	return at.done, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.inAll--
		if m.waiting[w.TenantID]--; m.waiting[w.TenantID] == 0 {
			delete(m.waiting, w.TenantID)
		}
		if at.n--; at.n == 0 && m.waiters[w.Subject] == at {
			delete(m.waiters, w.Subject)
		}
	}, true
}

// tell wakes those who wait for a certificate.
func (m *Manager) tell(subject string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.waiters[subject]; at != nil {
		close(at.done)
		delete(m.waiters, subject)
	}
}

// want writes down that a certificate is wanted. Who wants it again changes nothing.
func (m *Manager) want(ctx context.Context, w Wanted) error {
	if err := want(ctx, m.db.Control(), w, m.store.time()); err != nil {
		return err
	}
	m.hurry()
	return nil
}

func want(ctx context.Context, q *controldb.Queries, w Wanted, now time.Time) error {
	_, err := q.UpsertTLSName(ctx, controldb.UpsertTLSNameParams{Subject: w.Subject, TenantID: w.TenantID, Domain: registered(w.Subject), Now: now})
	if err != nil {
		return fmt.Errorf("want a certificate for %s: %w", w.Subject, err)
	}
	return nil
}

// follow forgets what was replaced or removed, by whichever process.
func (m *Manager) follow(ctx context.Context) {
	since := m.store.time().Add(-followOverlap)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(followEvery):
		}
		began := m.store.time()
		rows, err := m.db.Control().ListTLSNamesChanged(ctx, controldb.ListTLSNamesChangedParams{Since: since, MaxRows: followRows})
		if err != nil {
			if !db.IsUnavailable(err) && ctx.Err() == nil {
				m.cfg.Log.Warn("changed certificates cannot be read", "err", err)
			}
			continue
		}
		since = began.Add(-followOverlap)
		m.mu.Lock()
		for _, r := range rows {
			// What was read before the change, and a while after it, as clocks go.
			if k, ok := m.kept.Get(r.Subject); ok && k.at.Before(r.ChangedAt.Add(followOverlap/2)) {
				m.kept.Remove(r.Subject)
			}
		}
		m.mu.Unlock()
	}
}

// ChallengeProtocol is what an authority speaks that tries a name by TLS-ALPN-01.
const ChallengeProtocol = acmez.ACMETLS1Protocol

// Package certs has the certificates that this deployment serves by: gets them from an authority (ACME) when a name of a
// tenant is first asked for, keeps them in Postgres for all processes, renews them, and chooses one in a handshake.
//
// Only names that a tenant answers to have certificates made; whatever else strangers ask for costs one look into memory.
// A handshake never orders by itself: it writes down what is wanted, and one queue for all processes works on that, in
// turns between tenants and within what the authority allows.
package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/keyring"
)

// Errors of this package.
var (
	// ErrNoName: the name is nobody's here, so there is no certificate for it, and none is asked for.
	ErrNoName = errors.New("no tenant answers to this name")
	// ErrNotYet: the certificate is being waited for. The client may come again.
	ErrNotYet = errors.New("the certificate is not there yet")
	// ErrNotFound: nothing is known of a certificate with that subject.
	ErrNotFound = errors.New("no such certificate")
	// ErrConfig: settings that cannot be meant. The text says which.
	ErrConfig = errors.New("unusable settings of certificates")
)

// LetsEncrypt is the authority that is asked where nothing else is said.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// Config says how certificates are had.
type Config struct {
	Authority string         // the URL of its directory
	Email     string         // of the account there
	Roots     *x509.CertPool // whom to trust as the authority; nil: as the system does
	KeyID     string         // external account binding, where the authority wants one
	MACKey    string

	HTTP  string // host:port at which challenges by HTTP-01 are answered, "": nowhere
	HTTPS string // the same of TLS-ALPN-01

	Challenges []string // of these two; none: both

	DNS DNS // for wildcards

	Limits Limits

	Now func() time.Time
	Log *slog.Logger
}

// Manager is the certificates of one process. It is safe for concurrent use.
type Manager struct {
	cfg   Config
	db    *db.DB
	names *Names
	store *Store

	memory *certmagic.Cache
	direct *certmagic.Config // HTTP-01 and TLS-ALPN-01
	byDNS  *certmagic.Config // nil: no zone is ours to change
	issuer *certmagic.ACMEIssuer

	mu      sync.Mutex
	kept    *cache.Cache[string, *kept]
	waiters map[string]*waiter
	waiting map[int64]int // handshakes, by tenant
	inAll   int

	wake  chan struct{}
	pause pause

	counts  counts
	counted chan struct{} // something is to be counted anew
}

const (
	// keptBytes bounds the certificates in memory: some 5,000.
	keptBytes = 32 << 20
	// obtainTime bounds one order.
	obtainTime = 3 * time.Minute
	claimTime  = obtainTime + time.Minute
	hands      = 4
	pollEvery  = 2 * time.Second
	tidyEvery  = time.Hour
)

// New makes a manager. Nothing is ordered before [Manager.Run]. Errors: [ErrConfig].
func New(d *db.DB, keys *keyring.Keyring, names *Names, cfg Config) (*Manager, error) {
	if cfg.Email == "" {
		return nil, fmt.Errorf("%w: the authority wants an address of mail (--acme-email)", ErrConfig)
	}
	if err := cfg.proofs(); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.orUsual()
	if err := cfg.DNS.check(); err != nil {
		return nil, err
	}
	m := &Manager{
		cfg: cfg, db: d, names: names, store: NewStore(d, keys, cfg.Now),
		kept: cache.New[string, *kept](keptBytes, cfg.Now), waiters: map[string]*waiter{}, waiting: map[int64]int{}, wake: make(chan struct{}, 1), counted: make(chan struct{}, 1),
	}
	quiet := zap.New(quietCore{cfg.Log})
	m.memory = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.direct, nil }, Logger: quiet,
	})
	var err error
	proves := func(kind string) bool { return len(cfg.Challenges) == 0 || slices.Contains(cfg.Challenges, kind) }
	if m.direct, err = m.config(quiet, nil, cfg.HTTP != "" && proves(HTTP01), proves(TLSALPN01)); err != nil {
		return nil, err
	}
	// Other processes may order by what this one does not.
	answers, err := m.config(quiet, nil, true, true)
	if err != nil {
		return nil, err
	}
	m.issuer = answers.Issuers[0].(*certmagic.ACMEIssuer)
	if solver := cfg.DNS.solver(quiet); solver != nil {
		if m.byDNS, err = m.config(quiet, solver, false, false); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Manager) config(quiet *zap.Logger, dns *certmagic.DNS01Solver, http01, tlsALPN01 bool) (*certmagic.Config, error) {
	c := certmagic.New(m.memory, certmagic.Config{Storage: m.store, Logger: quiet, OCSP: certmagic.OCSPConfig{DisableStapling: true}})
	template := certmagic.ACMEIssuer{
		CA: m.cfg.Authority, Email: m.cfg.Email, Agreed: true, TrustedRoots: m.cfg.Roots, Logger: quiet,
		DisableHTTPChallenge: !http01, DisableTLSALPNChallenge: !tlsALPN01,
	}
	if m.cfg.KeyID != "" {
		template.ExternalAccount = &acme.EAB{KeyID: m.cfg.KeyID, MACKey: m.cfg.MACKey}
	}
	if dns != nil {
		template.DNS01Solver = dns
	}
	var err error
	if template.ListenHost, template.AltHTTPPort, template.AltTLSALPNPort, err = m.cfg.listening(); err != nil {
		return nil, err
	}
	c.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(c, template)}
	return c, nil
}

// Run works on what is wanted and follows what other processes do, until the context ends.
func (m *Manager) Run(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() { m.follow(ctx) })
	working.Go(func() { m.tidy(ctx) })
	working.Go(func() { m.count(ctx) })
	places := make(chan struct{}, hands)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case places <- struct{}{}:
		}
		row, ok := m.claim(ctx)
		if !ok {
			<-places
			select {
			case <-ctx.Done():
			case <-m.wake:
			case <-time.After(pollEvery):
			}
			continue
		}
		working.Go(func() {
			defer func() { <-places }()
			m.work(ctx, row)
		})
	}
	return nil
}

// Close ends what certmagic does in the background.
func (m *Manager) Close() { m.memory.Stop() }

// hurry has the queue looked at now.
func (m *Manager) hurry() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

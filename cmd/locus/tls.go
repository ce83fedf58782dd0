package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/certs"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/tenant"
)

// tlsFlags are how a process serves by https itself. Without --https-listen it does not: something stands in front.
type tlsFlags struct {
	HTTPSListen string   `name:"https-listen" placeholder:"ADDR" help:"Address to serve https at, as :443. Certificates are had from an authority (--acme-email) or from files (--tls-cert): docs/tls.md. Off by default: a proxy stands in front." env:"LOCUS_HTTPS_LISTEN"`
	HTTPListen  string   `name:"http-listen" placeholder:"ADDR" help:"Address to serve plain http at, as :80, beside --https-listen: it answers the authority's challenges and the resolution of handles, and leads pages to https. Off by default." env:"LOCUS_HTTP_LISTEN"`
	Cert        []string `name:"tls-cert" placeholder:"FILE" help:"Certificate with its chain, PEM; may be repeated. Read again when it changes. It is chosen before certificates of the authority." env:"LOCUS_TLS_CERT"`
	Key         []string `name:"tls-key" placeholder:"FILE" help:"Key of each --tls-cert, PEM, in the same order." env:"LOCUS_TLS_KEY"`
	Email       string   `name:"acme-email" placeholder:"ADDRESS" help:"Have certificates made by an authority (ACME), with an account under this address. It agrees to the authority's terms." env:"LOCUS_ACME_EMAIL"`
	CA          string   `name:"acme-ca" placeholder:"URL" help:"Directory of the authority; default: ${default}." default:"https://acme-v02.api.letsencrypt.org/directory" env:"LOCUS_ACME_CA"`
	Root        string   `name:"acme-ca-root" placeholder:"FILE" help:"Certificates, PEM, by which the authority itself is trusted, where it is one of your own." env:"LOCUS_ACME_CA_ROOT"`
	EABID       string   `name:"acme-eab-key-id" placeholder:"ID" help:"External account binding, where the authority wants one: the key's id." env:"LOCUS_ACME_EAB_KEY_ID"`
	EABKey      string   `name:"acme-eab-key" placeholder:"TEXT" help:"And the key, base64url." env:"LOCUS_ACME_EAB_KEY"`
	Challenges  []string `name:"acme-challenges" placeholder:"KIND" help:"How names outside the zones of --acme-dns are proved: tls-alpn-01 (at --https-listen), http-01 (at --http-listen); default: both, where both listen." env:"LOCUS_ACME_CHALLENGES"`
	Orders      int      `name:"acme-orders" placeholder:"N" help:"Orders in three hours, at most. A quarter is kept for renewals; default: ${default}." default:"270" env:"LOCUS_ACME_ORDERS"`
	PerDomain   int      `name:"acme-names-per-domain" placeholder:"N" help:"New certificates for one registered domain in a week, at most; default: ${default}." default:"45" env:"LOCUS_ACME_NAMES_PER_DOMAIN"`

	zoneFlags
	DNSServer   string        `name:"acme-dns-server" placeholder:"HOST:PORT" help:"rfc2136: the zones' primary name server." env:"LOCUS_ACME_DNS_SERVER"`
	DNSKeyName  string        `name:"acme-dns-key-name" placeholder:"NAME" help:"rfc2136: name of the TSIG key." env:"LOCUS_ACME_DNS_KEY_NAME"`
	DNSKey      string        `name:"acme-dns-key" placeholder:"BASE64" help:"rfc2136: the key." env:"LOCUS_ACME_DNS_KEY"`
	DNSKeyKind  string        `name:"acme-dns-key-kind" placeholder:"NAME" help:"rfc2136: its kind, hmac-sha224 to hmac-sha512; default: ${default}." default:"hmac-sha256" env:"LOCUS_ACME_DNS_KEY_KIND"`
	DNSLexicon  string        `name:"acme-dns-provider" placeholder:"NAME" help:"lexicon: the provider, by the name that 'lexicon --help' has for it. The program reads what it needs from its own environment, LEXICON_…." env:"LOCUS_ACME_DNS_PROVIDER"`
	DNSProgram  string        `name:"acme-dns-program" placeholder:"FILE" help:"program: run with 'add' or 'remove', the zone, the record's name and its text." env:"LOCUS_ACME_DNS_PROGRAM"`
	DNSResolver []string      `name:"acme-dns-resolver" placeholder:"HOST:PORT" help:"Resolver that is asked for zones, and whether a record is seen; may be repeated. Default: the system's, and the zone's own servers." env:"LOCUS_ACME_DNS_RESOLVER"`
	DNSSettle   time.Duration `name:"acme-dns-settle" placeholder:"TIME" help:"How long to wait at most until a record is seen; negative: do not look; default: ${default}." default:"2m" env:"LOCUS_ACME_DNS_SETTLE"`
}

// zoneFlags are also commands': they decide by which certificate a name is served.
type zoneFlags struct {
	DNS   string   `name:"acme-dns" placeholder:"WAY" help:"How DNS zones are changed, for wildcard certificates (DNS-01): rfc2136, lexicon, program. Off by default." env:"LOCUS_ACME_DNS"`
	Zones []string `name:"acme-dns-zones" placeholder:"ZONE" help:"Zones that are changed so. Names in them share a wildcard certificate with all others of their domain." env:"LOCUS_ACME_DNS_ZONES"`
}

func (f tlsFlags) on() bool { return f.HTTPSListen != "" }

// check refuses what cannot be meant, before anything is done.
func (f tlsFlags) check(dev bool) error {
	asked := f.HTTPListen != "" || len(f.Cert)+len(f.Key) > 0 || f.Email != "" || f.DNS != ""
	switch {
	case !f.on() && asked:
		return errors.New("--http-listen, --tls-cert, --acme-email and --acme-dns go with --https-listen (LOCUS_HTTPS_LISTEN)")
	case !f.on():
		return nil
	case dev:
		return errors.New("--dev is reached by http where it listens: leave out --https-listen")
	case len(f.Cert) != len(f.Key):
		return errors.New("each --tls-cert has its --tls-key")
	case len(f.Cert) == 0 && f.Email == "":
		return errors.New("--https-listen needs certificates: --acme-email has them made by an authority, --tls-cert and --tls-key name files")
	}
	return nil
}

// secured is https as one process serves it.
type secured struct {
	config  *tls.Config
	files   *certs.Files   // nil: none
	manager *certs.Manager // nil: no authority
}

// secure makes it. The facts of the deployment must say that tenants are reached so.
func (f tlsFlags) secure(s *serving) (*secured, error) {
	if s.facts.Scheme != "https" {
		return nil, fmt.Errorf("%w: --https-listen serves https, the database says that public URLs are %s. 'locus deployment set scheme=https port=0' changes that", errContradiction, s.facts.Config(false).URL("HOST"))
	}
	public := s.facts.Port
	if public == 0 {
		public = 443
	}
	if at := portOf(s.https); at != public {
		s.log.Warn("tenants' public URLs name another port than --https-listen: something must forward it", "public", public, "listen", at)
	}
	out := &secured{}
	var err error
	if len(f.Cert) > 0 {
		pairs := make([]certs.Pair, len(f.Cert))
		for i := range f.Cert {
			pairs[i] = certs.Pair{Certificate: f.Cert[i], Key: f.Key[i]}
		}
		if out.files, err = certs.OpenFiles(pairs, s.log); err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
	}
	if f.Email != "" {
		if out.manager, err = f.manager(s); err != nil {
			return nil, err
		}
	}
	out.config = &tls.Config{
		// Every client since about 2014 has TLS 1.2 with these; of 1.3 Go has only good ones.
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,
		},
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: out.certificate,
	}
	if out.manager != nil {
		out.config.NextProtos = append(out.config.NextProtos, certs.ChallengeProtocol)
	}
	return out, nil
}

func (f tlsFlags) manager(s *serving) (*certs.Manager, error) {
	cfg := certs.Config{
		Authority: f.CA, Email: f.Email, KeyID: f.EABID, MACKey: f.EABKey, HTTPS: s.https.Addr().String(),
		Limits: certs.Limits{Orders: f.Orders, PerDomain: f.PerDomain},
		DNS: certs.DNS{
			Provider: f.DNS, Zones: f.zones(), Resolvers: f.DNSResolver, Settle: f.DNSSettle,
			Server: f.DNSServer, KeyName: f.DNSKeyName, KeySecret: f.DNSKey, KeyKind: f.DNSKeyKind, Lexicon: f.DNSLexicon, Program: f.DNSProgram,
		},
		Now: time.Now, Log: s.log,
	}
	if s.http != nil {
		cfg.HTTP = s.http.Addr().String()
	}
	cfg.Challenges = f.Challenges
	if f.Root != "" {
		text, err := os.ReadFile(f.Root)
		if err != nil {
			return nil, fmt.Errorf("--acme-ca-root: %w", err)
		}
		cfg.Roots = x509.NewCertPool()
		if !cfg.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--acme-ca-root: no certificate in %s", f.Root)
		}
	}
	return certs.New(s.db, s.app.keys, s.asker.names.Load(), cfg)
}

// certificate asks the files first: an operator who has one means it.
func (s *secured) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.files != nil {
		c, err := s.files.Certificate(hello)
		if err == nil || s.manager == nil {
			return c, err
		}
	}
	return s.manager.Certificate(hello)
}

func (s *secured) close() {
	if s.manager != nil {
		s.manager.Close()
	}
}

// zones are in the form that names are kept in.
func (f zoneFlags) zones() []string {
	out := make([]string, 0, len(f.Zones))
	for _, z := range f.Zones {
		out = append(out, strings.Trim(strings.ToLower(strings.TrimSpace(z)), "."))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// names is what there may be certificates for.
func (f zoneFlags) names(tenants *tenant.Registry, actors *account.Cache) *certs.Names {
	active := func(ctx context.Context, schema db.Schema, handle string) (bool, error) {
		a, err := actors.ByHandle(ctx, schema, handle, account.Fresh)
		if errors.Is(err, account.ErrNotFound) {
			return false, nil
		}
		return err == nil && a.Active(), err
	}
	var zones []string
	if f.DNS != "" {
		zones = f.zones()
	}
	return certs.NewNames(tenants.ByHost, active, tenants.List, zones, time.Now)
}

func portOf(l net.Listener) int {
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		return at.Port
	}
	return 0
}

// serveSecured serves by https, and what goes with it.
func (s *serving) serveSecured(ctx context.Context, group *errgroup.Group, c *serveCmd, front http.Handler) {
	if s.tls == nil {
		return
	}
	limits := inbound.Config{Open: c.Connections, PerAddress: c.PerAddress, Neighbour: s.proxies.Trusts}
	if s.tls.files != nil {
		group.Go(func() error { return s.tls.files.Run(ctx) })
	}
	if s.tls.manager != nil {
		group.Go(func() error { return s.tls.manager.Run(db.InBackground(ctx)) })
	}
	group.Go(func() error { return serveBy(ctx, s.https, limits, s.tls.config, front, s.log) })
	if s.http != nil {
		face := plainFace(s.tls.manager, s.app.tenants.ByHost, front)
		group.Go(func() error { return serveHTTP(ctx, s.http, limits, face, s.log) })
	}
	s.log.Info("serving https", "address", s.https.Addr().String())
}

package certs

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// DNS is how this deployment changes DNS zones, for wildcard certificates (DNS-01).
type DNS struct {
	Provider  string   // "": not at all
	Zones     []string // that it may change
	Resolvers []string // whom to ask whether a change is seen; none: the system's
	// Settle is how long to wait at most until all name servers of the zone have a change. Negative: do not look.
	Settle time.Duration

	Server    string // rfc2136: host:port of the primary name server
	KeyName   string // its TSIG key
	KeySecret string // base64
	KeyKind   string // hmac-sha256 and such

	Program string // program: its path

	Lexicon string // lexicon: the provider's name there
}

// Ways to change a zone.
const (
	DNSUpdate  = "rfc2136"
	DNSLexicon = "lexicon"
	DNSProgram = "program"
)

// DNSProviders lists them.
var DNSProviders = []string{DNSUpdate, DNSLexicon, DNSProgram}

func (d DNS) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	if d.Provider == "" {
		if len(d.Zones) > 0 {
			return bad("--acme-dns-zones needs --acme-dns, which says how they are changed")
		}
		return nil
	}
	if !slices.Contains(DNSProviders, d.Provider) {
		return bad("--acme-dns is one of %s", strings.Join(DNSProviders, ", "))
	}
	if len(d.Zones) == 0 {
		return bad("--acme-dns needs --acme-dns-zones: the zones that it may change")
	}
	for _, z := range d.Zones {
		if !plausible(z) {
			return bad("--acme-dns-zones: %.100q is not a zone", z)
		}
	}
	switch d.Provider {
	case DNSUpdate:
		if _, _, err := net.SplitHostPort(d.Server); err != nil {
			return bad("--acme-dns-server is the host:port of the zones' primary name server")
		}
		if (d.KeyName == "") != (d.KeySecret == "") {
			return bad("--acme-dns-key-name and --acme-dns-key come together")
		}
		if tsigKind(d.KeyKind) == "" {
			return bad("--acme-dns-key-kind is one of %s", strings.Join(tsigKinds, ", "))
		}
	case DNSLexicon:
		if err := checkLexicon(d.Lexicon); err != nil {
			return bad("%s", err)
		}
	case DNSProgram:
		if d.Program == "" {
			return bad("--acme-dns-program is the program that changes a zone")
		}
	}
	return nil
}

// solver is nil where no zone is ours.
func (d DNS) solver(quiet *zap.Logger) *certmagic.DNS01Solver {
	s := new(certmagic.DNS01Solver)
	s.TTL, s.PropagationTimeout, s.Resolvers, s.Logger = time.Minute, d.Settle, d.Resolvers, quiet
	switch d.Provider {
	case DNSUpdate:
		s.DNSProvider = update{d}
	case DNSLexicon:
		s.DNSProvider = lexicon(d.Lexicon)
	case DNSProgram:
		s.DNSProvider = ownProgram(d.Program)
	default:
		return nil
	}
	return s
}

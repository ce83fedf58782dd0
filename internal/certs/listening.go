package certs

import (
	"fmt"
	"net"
	"strconv"
)

// listening says where this process answers challenges. certmagic would listen itself where nobody does.
func (c Config) listening() (host string, http, https int, err error) {
	var hosts []string
	for at, port := range map[string]*int{c.HTTP: &http, c.HTTPS: &https} {
		if at == "" {
			continue
		}
		h, p, err := net.SplitHostPort(at)
		if err == nil {
			*port, err = strconv.Atoi(p)
		}
		if err != nil {
			return "", 0, 0, fmt.Errorf("%w: address %q: %w", ErrConfig, at, err)
		}
		hosts = append(hosts, h)
	}
	if len(hosts) == 2 && hosts[0] != hosts[1] {
		return "", 0, 0, fmt.Errorf("%w: --http-listen and --https-listen are at one host: leave it out of both, or give both the same", ErrConfig)
	}
	return hosts[0], http, https, nil
}

// How a name is proved to lead here.
const (
	HTTP01    = "http-01"
	TLSALPN01 = "tls-alpn-01"
)

// proofs refuses ways to prove a name that no listener has.
func (c Config) proofs() error {
	for _, kind := range c.Challenges {
		switch {
		case kind != HTTP01 && kind != TLSALPN01:
			return fmt.Errorf("%w: --acme-challenges are %s and %s", ErrConfig, TLSALPN01, HTTP01)
		case kind == HTTP01 && c.HTTP == "":
			return fmt.Errorf("%w: challenge %s needs --http-listen", ErrConfig, HTTP01)
		}
	}
	return nil
}

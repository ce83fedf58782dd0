package tenant

import (
	"fmt"
	"net"
	"strings"
)

const maxHostname = 253

// hostOf brings a Host header to the form names are stored in: lower case, no port, no trailing dot. ok is false for
// what cannot be a hostname, so that junk is refused before any look-up.
func hostOf(header string) (host string, ok bool) {
	host = header
	if i := strings.IndexByte(host, ':'); i >= 0 {
		port := host[i+1:]
		if len(port) > 5 || strings.TrimLeft(port, "0123456789") != "" {
			return "", false // also every IPv6 literal
		}
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	return lowerHost(host)
}

func lowerHost(host string) (string, bool) {
	if host == "" || len(host) > maxHostname {
		return "", false
	}
	upper := false
	label := 0
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			label++
		case c >= 'A' && c <= 'Z':
			upper = true
			label++
		case c == '-':
			if label == 0 || i+1 == len(host) || host[i+1] == '.' {
				return "", false
			}
			label++
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
		default:
			return "", false
		}
		if label > 63 {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	if upper {
		host = strings.ToLower(host)
	}
	return host, true
}

// refusedTLDs cannot lead to a public server, or are no handles by the specification.
// spec: handle#additional-non-syntax-restrictions
var refusedTLDs = []string{"alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"}

// checkHostname says what is wrong with a tenant's hostname. Development also takes localhost and names under it and
// under .test.
func checkHostname(name string, dev bool) (string, error) {
	host, err := checkName(name)
	if err != nil {
		return "", err
	}
	tld := host[strings.LastIndexByte(host, '.')+1:]
	if dev && (tld == "localhost" || tld == "test") {
		return host, nil
	}
	if err := checkTLD(host, tld); err != nil {
		return "", err
	}
	return host, nil
}

// CheckHostname says what is wrong with a hostname for a tenant, before anything is begun with it. Errors: [ErrBadHostname].
func (r *Registry) CheckHostname(name string) error {
	_, err := checkHostname(name, r.cfg.Dev)
	return err
}

// checkHandleDomain says what is wrong with a handle domain, with or without its leading dot. Development also takes
// .test and names under it.
func checkHandleDomain(name string, dev bool) (string, error) {
	host, err := checkName(strings.TrimPrefix(name, "."))
	if err != nil {
		return "", err
	}
	if len(host) > maxHostname-2 {
		return "", fmt.Errorf("%w: %s leaves no room for a handle", ErrBadHostname, host)
	}
	tld := host[strings.LastIndexByte(host, '.')+1:]
	if dev && tld == "test" {
		return host, nil
	}
	if err := checkTLD(host, tld); err != nil {
		return "", err
	}
	return host, nil
}

func checkName(name string) (string, error) {
	host, ok := lowerHost(name)
	if !ok || net.ParseIP(host) != nil {
		return "", fmt.Errorf("%w: %.100q is not a hostname (letters, digits and hyphens, no port)", ErrBadHostname, name)
	}
	return host, nil
}

func checkTLD(host, tld string) error {
	for _, bad := range refusedTLDs {
		if tld == bad {
			return fmt.Errorf("%w: %s: names under .%s are not public", ErrBadHostname, host, bad)
		}
	}
	if tld == host {
		return fmt.Errorf("%w: %s: a public name has at least two labels", ErrBadHostname, host)
	}
	if tld[0] >= '0' && tld[0] <= '9' {
		return fmt.Errorf("%w: %s: the last label must begin with a letter", ErrBadHostname, host)
	}
	return nil
}

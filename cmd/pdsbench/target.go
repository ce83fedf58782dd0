package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// ErrRemote refuses a target that is not on this machine, because a load generator pointed at somebody else's server is
// an attack.
var ErrRemote = errors.New("the target is not a loopback address (--allow-remote lifts this)")

// A target is the server under load: where to dial it and what to call it.
type target struct {
	scheme  string
	port    string
	name    string   // host name in the URL, used for TLS
	addrs   []string // addresses to try in turn
	host    string   // Host header
	prefix  string   // path prefix of the URL, without the last slash
	timeout time.Duration
}

// newTarget reads a URL such as http://localhost:2583. Names under localhost are loopback by definition (spec: RFC 6761
// section 6.3), whether or not this machine's resolver knows it. host replaces the Host header when it is not empty.
func newTarget(ctx context.Context, raw, host string, allowRemote bool, timeout time.Duration) (*target, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read --url: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("read --url: %q is not an http or https URL", raw)
	}
	t := &target{scheme: u.Scheme, port: u.Port(), name: u.Hostname(), host: u.Host, prefix: strings.TrimRight(u.Path, "/"), timeout: timeout}
	if t.port == "" {
		t.port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if host != "" {
		t.host = host
	}
	if strings.ContainsAny(t.host+t.prefix, " \r\n\t") {
		return nil, fmt.Errorf("read --url: white space in %q", t.host+t.prefix)
	}
	name := strings.ToLower(strings.TrimSuffix(t.name, "."))
	switch {
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		t.addrs = []string{"127.0.0.1", "::1"}
	case net.ParseIP(name) != nil:
		t.addrs = []string{name}
	default:
		t.addrs, err = net.DefaultResolver.LookupHost(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("resolve %s: %w", name, err)
		}
	}
	if !allowRemote {
		for _, a := range t.addrs {
			if ip := net.ParseIP(a); ip == nil || !ip.IsLoopback() {
				return nil, fmt.Errorf("%s (%s): %w", name, a, ErrRemote)
			}
		}
	}
	return t, nil
}

func (t *target) dial() (net.Conn, error) {
	var first error
	for _, a := range t.addrs {
		nc, err := net.DialTimeout("tcp", net.JoinHostPort(a, t.port), t.timeout)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if t.scheme == "https" {
			return tls.Client(nc, &tls.Config{ServerName: t.name, NextProtos: []string{"http/1.1"}}), nil
		}
		return nc, nil
	}
	return nil, first
}

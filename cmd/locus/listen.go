package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/auroralocus/locus/internal/inbound"
)

// Limits of the HTTP server. There are no read and write timeouts for whole requests: they would cut streams. What a
// body may take is handlers' business, how slowly an answer may be read is inbound's.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 90 * time.Second
	maxHeaderBytes    = 64 << 10
	drainTime         = 15 * time.Second
	maxStreams        = 100 // of one connection by HTTP/2
)

// listeners are where a process listens. Those that are not wanted are nil.
type listeners struct {
	web      net.Listener
	https    net.Listener
	http     net.Listener // beside https
	plc      net.Listener // the face of the built-in PLC directory
	machines net.Listener // health and numbers
	debug    net.Listener // the profiler
	admin    net.Listener // the operator API
}

// listen opens them; what is open is given with an error, too.
func (c *serveCmd) listen() (at listeners, err error) {
	if at.web, err = net.Listen("tcp", c.Listen); err != nil {
		return at, fmt.Errorf("listen: %w (--listen chooses another address)", err)
	}
	if c.on() {
		if at.https, err = net.Listen("tcp", c.HTTPSListen); err != nil {
			return at, fmt.Errorf("listen for https: %w (--https-listen chooses another address)", err)
		}
	}
	if c.HTTPListen != "" {
		if at.http, err = net.Listen("tcp", c.HTTPListen); err != nil {
			return at, fmt.Errorf("listen for http: %w (--http-listen chooses another address)", err)
		}
	}
	if c.Dev && c.PLCURL == "" {
		if at.plc, err = net.Listen("tcp", c.PLCListen); err != nil {
			return at, fmt.Errorf("listen for the PLC directory: %w (--plc-listen chooses another address)", err)
		}
		c.PLCListen = at.plc.Addr().String()
	}
	if c.AdminListen != "" {
		if at.machines, err = net.Listen("tcp", c.AdminListen); err != nil {
			return at, fmt.Errorf("listen for health and metrics: %w (--admin-listen chooses another address)", err)
		}
	}
	if c.Operators != "" {
		if at.admin, err = net.Listen("tcp", ofLoopback(c.Operators)); err != nil {
			return at, fmt.Errorf("listen for the operator API: %w (--operator-listen chooses another address)", err)
		}
	}
	if c.DebugListen != "" {
		if at.debug, err = net.Listen("tcp", c.DebugListen); err != nil {
			return at, fmt.Errorf("listen for the profiler: %w (--debug-listen chooses another address)", err)
		}
	}
	return at, nil
}

func (at listeners) close() {
	for _, l := range []net.Listener{at.web, at.https, at.http, at.plc, at.machines, at.debug, at.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// loopbackOnly keeps off the network what must not be there: a development server, whose guards are open and whose
// passwords are known, and the profiler.
func loopbackOnly(what string, addrs ...string) error {
	for _, addr := range addrs {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("address %q: %w", addr, err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("%s listens on loopback only, not on %q", what, addr)
		}
	}
	return nil
}

// profiler is Go's own, without touching the default mux.
func profiler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// serveHTTP serves until ctx ends, and then lets the requests that are being answered finish.
func serveHTTP(ctx context.Context, below net.Listener, limits inbound.Config, h http.Handler, log *slog.Logger) error {
	return serveBy(ctx, below, limits, nil, h, log)
}

// serveBy serves by https where secure is not nil. A handshake has readHeaderTimeout.
func serveBy(ctx context.Context, below net.Listener, limits inbound.Config, secure *tls.Config, h http.Handler, log *slog.Logger) error {
	l := inbound.New(below, limits)
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         l.State,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' broken connections
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err := s.Shutdown(drain)
		if err != nil {
			err = errors.Join(fmt.Errorf("requests did not end in %s", drainTime), s.Close())
		}
		ended <- err
	}()
	serve := func() error { return s.Serve(l) }
	if secure != nil {
		s.TLSConfig, s.HTTP2 = secure, &http.HTTP2Config{MaxConcurrentStreams: maxStreams}
		serve = func() error { return s.ServeTLS(l, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-ended
}

package main

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/metrics"
)

// What calls of others are counted as whose host is not to be named.
const (
	servicePublic = "public" // named by DID documents, which anybody may write
	serviceOther  = "other"  // named by operators, but of too many
	servicePLC    = "plc"
)

// mostServices bounds the services that are counted by name: tenants may name their own.
const mostServices = 30

// services gives those that operators named the names that their calls are counted by.
type services struct {
	mu    sync.Mutex
	known map[string]bool
}

func (s *services) name(host string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known[host] {
		if len(s.known) >= mostServices {
			return serviceOther
		}
		s.known[host] = true
	}
	return host
}

// counting is a way out that counts what it does.
type counting struct {
	below   http.RoundTripper
	numbers *metrics.Metrics
	service func(*http.Request) string
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := c.below.RoundTrip(r)
	outcome := "error"
	if err == nil {
		outcome = strconv.Itoa(resp.StatusCode/100) + "xx"
	}
	c.numbers.Called(c.service(r), outcome, time.Since(began))
	return resp, err
}

func (c counting) CloseIdleConnections() {
	if t, ok := c.below.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// counted has the calls that are made in this network counted, if anybody can look.
func (n network) counted(m *metrics.Metrics) {
	if m == nil {
		return
	}
	fixed := func(name string) func(*http.Request) string { return func(*http.Request) string { return name } }
	known := &services{known: map[string]bool{}}
	n.public.Transport = counting{n.public.Transport, m, fixed(servicePublic)}
	n.named.Transport = counting{n.named.Transport, m, func(r *http.Request) string { return known.name(r.URL.Host) }}
	if n.remote != nil {
		n.remote.Through(func(t http.RoundTripper) http.RoundTripper { return counting{t, m, fixed(servicePLC)} })
	}
}

package main

import (
	"context"
	"time"

	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/metrics"
	"github.com/auroralocus/locus/internal/xrpc"
)

// faceMachines serves health and numbers from before anything else is begun until everything else has ended: a start
// that waits and an end that drains can be watched. What it gives ends it.
func (s *serving) faceMachines(metered string) (end func()) {
	if s.machines == nil {
		return func() {}
	}
	choice, _ := metrics.ParseTenants(metered) // it was looked at before
	s.numbers = metrics.New(version(), choice)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serveHTTP(ctx, s.machines, inbound.Config{Open: machineConnections, PerAddress: machineConnections / 2, Neighbour: s.proxies.Trusts}, s.pages.over(s.asker.over(adminFace(s.numbers, s.health))), s.log); err != nil {
			s.log.Error("health and metrics are not served any more", "err", err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// observe is what hears of every answer: the log, and the numbers if anybody can look at them.
func (s *serving) observe() func(*xrpc.Answered) {
	return func(a *xrpc.Answered) {
		if a.Opened {
			s.traces.opened(a)
			return
		}
		if s.numbers != nil {
			tenant := ""
			if a.Tenant != nil {
				tenant = a.Tenant.Hostname
			}
			s.numbers.Observe(metrics.Request{
				Method: a.Method, Class: a.Class, Code: a.Status, Took: a.Took, Stream: a.Stream, Tenant: tenant, Bytes: a.Bytes,
			})
		}
		s.traces.note(a)
		s.access.note(a)
	}
}

// machineConnections bounds those who look after a process.
const machineConnections = 64

// starts tells everybody what the process does before it takes requests: it may take long.
func (s *serving) starts(phase unready) {
	s.health.enters(phase)
	s.who.status(phase.why)
}

// serves tells everybody that the process takes requests.
func (s *serving) serves(ctx context.Context) {
	s.health.needs("database", "the database does not answer", readyFor, s.db.Ping)
	s.health.needs("master key", "this process has another master key than the tenants' secrets are sealed under", keysFor, s.app.tenants.KeyFits)
	s.health.needs("master key", "this process has not the master keys that the deployment uses now", 0, s.app.masters.Fit)
	s.health.enters(unready{})
	s.who.ready("serving")
	go s.who.live(ctx, func() { s.health.serving() })
}

// draining gives the context of a process that serves. When the process is asked to end, readiness says so first. After
// the delay the context ends, and with it the listeners.
func (s *serving) draining(asked context.Context, delay time.Duration) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(context.WithoutCancel(asked))
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-asked.Done():
		}
		s.health.enters(phaseDraining)
		s.who.stopping("draining")
		if delay > 0 {
			s.log.Info("draining: connections are still taken", "delay", delay)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
			end()
		}
	}()
	return ctx, end
}

package certs

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/controldb"
)

// Limits are an authority's own. We stay a little below them: other programs may use the account or the domain, too.
type Limits struct {
	Orders    int // in 3 hours, by an account
	PerDomain int // new certificates for a registered domain in a week; renewals are not counted
	Failures  int // of one name in an hour
}

// usual are those of Let's Encrypt, less a tenth.
var usual = Limits{Orders: 270, PerDomain: 45, Failures: 4}

func (l Limits) orUsual() Limits {
	if l.Orders <= 0 {
		l.Orders = usual.Orders
	}
	if l.PerDomain <= 0 {
		l.PerDomain = usual.PerDomain
	}
	if l.Failures <= 0 {
		l.Failures = usual.Failures
	}
	return l
}

const (
	orderWindow  = 3 * time.Hour
	domainWindow = 7 * 24 * time.Hour
	failWindow   = time.Hour
	// keptRenewals is the part of the orders that new names leave to renewals, as a divisor.
	keptRenewals = 4
)

// budget says until when an order must wait, and why. A renewal is not one of the new certificates of its domain, and has
// a part of the orders for itself.
func (m *Manager) budget(ctx context.Context, row controldb.TlsName, renewal bool) (until time.Time, why string, err error) {
	now := m.store.time()
	b, err := m.db.Control().GetTLSBudget(ctx, controldb.GetTLSBudgetParams{
		OrdersSince: now.Add(-orderWindow), Domain: row.Domain, DomainSince: now.Add(-domainWindow), Subject: row.Subject, FailedSince: now.Add(-failWindow),
	})
	if err != nil {
		return time.Time{}, "", fmt.Errorf("count orders: %w", err)
	}
	l := m.cfg.Limits
	orders := int64(l.Orders)
	if !renewal {
		orders -= orders / keptRenewals
	}
	switch {
	case b.Failures >= int64(l.Failures):
		return b.FailuresOldest.Add(failWindow), fmt.Sprintf("%d orders failed within an hour: more would make the authority refuse the name", b.Failures), nil
	case !renewal && b.OfDomain >= int64(l.PerDomain):
		return b.DomainOldest.Add(domainWindow), fmt.Sprintf("%d new certificates for names under %s within a week: the authority gives no more; a wildcard certificate would serve all of them (docs/tls.md)", b.OfDomain, row.Domain), nil
	case b.Orders >= orders:
		return b.OrdersOldest.Add(orderWindow), fmt.Sprintf("%d orders within 3 hours: the authority takes no more", b.Orders), nil
	}
	return time.Time{}, "", nil
}

// delays are the pauses behind failures.
var delays = []time.Duration{2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour}

func delay(attempts int32) time.Duration { return delays[min(int(max(attempts, 0)), len(delays)-1)] }

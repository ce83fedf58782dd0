package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// turnWindow is how far back orders count for whose turn it is.
	turnWindow = time.Hour
	// lookAgain is how often an authority is asked when it wants a certificate renewed.
	lookAgain = 12 * time.Hour
	// keepOrders is how long orders are remembered; keepGone, names that nobody has any more.
	keepOrders = 8 * 24 * time.Hour
	keepGone   = 24 * time.Hour
	tidyRows   = 1000
	// writeTime is for writing down what came of an order, also while the process ends.
	writeTime = 10 * time.Second
)

// claim takes the next name that something is to be done about.
func (m *Manager) claim(ctx context.Context) (controldb.TlsName, bool) {
	now := m.store.time()
	if m.pause.on(now) {
		return controldb.TlsName{}, false
	}
	until := now.Add(claimTime)
	row, err := m.db.Control().LockDueTLSName(ctx, controldb.LockDueTLSNameParams{ClaimedUntil: &until, Now: now, Recent: now.Add(-turnWindow)})
	if err != nil {
		if !db.IsNoRows(err) && !db.IsUnavailable(err) && ctx.Err() == nil {
			m.cfg.Log.Warn("certificates that are wanted cannot be read", "err", err)
		}
		return controldb.TlsName{}, false
	}
	return row, true
}

// work does what is due about one name.
func (m *Manager) work(ctx context.Context, row controldb.TlsName) {
	err := m.attend(ctx, row)
	m.recount()
	if err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
		m.cfg.Log.Error("a certificate could not be looked after", "name", row.Subject, "err", err)
	}
}

func (m *Manager) attend(ctx context.Context, row controldb.TlsName) error {
	_, err := m.names.Still(ctx, row.Subject)
	switch {
	case errors.Is(err, ErrNoName):
		m.cfg.Log.Info("a certificate is not renewed: nobody has its name any more", "name", row.Subject)
		return m.db.Control().UpdateTLSNameGivenUp(ctx, controldb.UpdateTLSNameGivenUpParams{Error: "nobody has this name any more", Now: m.store.time(), Subject: row.Subject})
	case err != nil:
		return m.wait(ctx, row, time.Minute, err.Error())
	}
	c := m.configOf(row.Subject)
	renewal := row.NotAfter != nil && m.there(ctx, c, row.Subject)
	if renewal && !row.Forced {
		again, err := m.look(ctx, c, row)
		if err != nil || !again {
			return err
		}
	}
	until, why, err := m.budget(ctx, row, renewal)
	if err != nil {
		return err
	}
	if why != "" {
		m.cfg.Log.Warn("a certificate has to wait", "name", row.Subject, "until", until, "why", why)
		return m.db.Control().UpdateTLSNameWaits(ctx, controldb.UpdateTLSNameWaitsParams{Error: why, DueAt: until, Subject: row.Subject})
	}
	return m.order(ctx, c, row, renewal)
}

func (m *Manager) wait(ctx context.Context, row controldb.TlsName, after time.Duration, why string) error {
	return m.db.Control().UpdateTLSNameWaits(ctx, controldb.UpdateTLSNameWaitsParams{Error: why, DueAt: m.store.time().Add(after), Subject: row.Subject})
}

// configOf is how a certificate is had.
func (m *Manager) configOf(subject string) *certmagic.Config {
	if m.byDNS != nil && m.names.ourZone(subject) {
		return m.byDNS
	}
	return m.direct
}

func (m *Manager) there(ctx context.Context, c *certmagic.Config, subject string) bool {
	return m.store.Exists(ctx, certmagic.StorageKeys.SiteCert(c.Issuers[0].IssuerKey(), subject))
}

// look says whether a certificate is to be renewed now. The authority may want that earlier than usual.
func (m *Manager) look(ctx context.Context, c *certmagic.Config, row controldb.TlsName) (now bool, err error) {
	leaf, _, err := m.read(ctx, row.Subject)
	if err != nil {
		return true, nil // what is there is of no use
	}
	renew := m.renewAt(ctx, leaf)
	at := m.store.time()
	if !renew.After(at) {
		return true, nil
	}
	return false, m.db.Control().UpdateTLSNameLooked(ctx, controldb.UpdateTLSNameLookedParams{RenewAt: &renew, DueAt: earlier(renew, at.Add(lookAgain)), Subject: row.Subject})
}

// renewAt is the moment that the authority chose, or the last third of a certificate's time.
func (m *Manager) renewAt(ctx context.Context, leaf *x509.Certificate) time.Time {
	usually := leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cert := certmagic.Certificate{}
	cert.Leaf = leaf
	info, err := m.issuer.GetRenewalInfo(ctx, cert)
	if err != nil || !info.HasWindow() || info.SelectedTime.IsZero() {
		return usually
	}
	return earlier(info.SelectedTime, leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore)/10))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// order has a certificate made, and writes down what came of it.
func (m *Manager) order(ctx context.Context, c *certmagic.Config, row controldb.TlsName, renewal bool) error {
	q, at := m.db.Control(), m.store.time()
	if err := q.InsertTLSOrder(ctx, controldb.InsertTLSOrderParams{OrderedAt: at, Subject: row.Subject, TenantID: row.TenantID, Domain: row.Domain, Renewal: renewal}); err != nil {
		return err
	}
	ordering, cancel := context.WithTimeout(ctx, obtainTime)
	defer cancel()
	var err error
	if renewal {
		err = c.RenewCertSync(ordering, row.Subject, true)
	} else {
		err = c.ObtainCertSync(ordering, row.Subject)
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer done()
	if err == nil {
		return m.issued(ctx, row, renewal)
	}
	return m.failed(ctx, row, at, err, ordering.Err())
}

func (m *Manager) issued(ctx context.Context, row controldb.TlsName, renewal bool) error {
	leaf, _, err := m.read(ctx, row.Subject)
	if err != nil {
		return fmt.Errorf("read the certificate for %s that was just made: %w", row.Subject, err)
	}
	m.pause.end(m)
	m.counts.issued.Add(1)
	now, renew := m.store.time(), m.renewAt(ctx, leaf)
	err = m.db.Control().UpdateTLSNameIssued(ctx, controldb.UpdateTLSNameIssuedParams{
		Serial: fmt.Sprintf("%x", leaf.SerialNumber), Issuer: leaf.Issuer.CommonName, NotBefore: &leaf.NotBefore, NotAfter: &leaf.NotAfter,
		RenewAt: &renew, DueAt: earlier(renew, now.Add(lookAgain)), Now: now, Subject: row.Subject,
	})
	m.drop(row.Subject)
	m.tell(row.Subject)
	m.cfg.Log.Info("a certificate was made", "name", row.Subject, "renewal", renewal, "until", leaf.NotAfter, "issuer", leaf.Issuer.CommonName)
	return err
}

func (m *Manager) failed(ctx context.Context, row controldb.TlsName, ordered time.Time, cause, ended error) error {
	why := m.reason(cause)
	if errors.Is(ended, context.Canceled) { // this process ends; another one goes on
		return m.wait(ctx, row, 0, "")
	}
	if wait, outage := m.outage(cause); outage {
		m.counts.outages.Add(1)
		m.pause.begin(m, wait, why)
		// It made nothing of this order, so the order does not use up what the domain may have in a week.
		err := m.db.Control().DeleteTLSOrder(ctx, controldb.DeleteTLSOrderParams{OrderedAt: ordered, Subject: row.Subject})
		return errors.Join(err, m.wait(ctx, row, wait, why))
	}
	m.counts.failed.Add(1)
	q, next := m.db.Control(), m.store.time().Add(delay(row.Attempts))
	m.cfg.Log.Error("a certificate could not be had", "name", row.Subject, "attempt", row.Attempts+1, "next", next, "err", why)
	err := q.UpdateTLSOrderFailed(ctx, controldb.UpdateTLSOrderFailedParams{OrderedAt: ordered, Subject: row.Subject})
	now := m.store.time()
	err = errors.Join(err, q.UpdateTLSNameFailed(ctx, controldb.UpdateTLSNameFailedParams{Now: now, Error: why, DueAt: next, Subject: row.Subject}))
	m.tell(row.Subject)
	return err
}

// reason is what an authority says is wrong, without the library's frame.
func (m *Manager) reason(err error) string {
	text := err.Error()
	var p acme.Problem
	if errors.As(err, &p) && p.Detail != "" {
		text = p.Detail
		if _, kind, ok := strings.Cut(p.Type, "error:"); ok {
			text = kind + ": " + text
		}
	}
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "")
	}
	return text
}

// outage tells trouble of the authority, which is no name's fault, and how long to leave it alone.
func (m *Manager) outage(err error) (time.Duration, bool) {
	var p acme.Problem
	if errors.As(err, &p) {
		switch {
		case p.Status == http.StatusTooManyRequests, p.Type == acme.ProblemTypeRateLimited:
			return 15 * time.Minute, true
		case p.Status >= 500, p.Type == acme.ProblemTypeServerInternal:
			return time.Minute, true
		}
		return 0, false
	}
	var u *url.Error
	ca, parsed := url.Parse(m.cfg.Authority)
	if errors.As(err, &u) && parsed == nil {
		if at, err := url.Parse(u.URL); err == nil && at.Host == ca.Host {
			return time.Minute, true
		}
	}
	return time.Minute, strings.Contains(err.Error(), "HTTP 5") || strings.Contains(err.Error(), "provisioning client")
}

// pause is an outage of the authority: one line at its beginning, one at its end, and no orders in between.
type pause struct {
	mu     sync.Mutex
	until  time.Time
	failed int // orders, in this outage
}

func (p *pause) on(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.until)
}

func (p *pause) begin(m *Manager, wait time.Duration, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed++; p.failed == 1 {
		m.cfg.Log.Error("the authority for certificates does not serve us; names wait", "authority", m.cfg.Authority, "err", why)
	}
	p.until = m.cfg.Now().Add(min(max(wait, 15*time.Second)/4*time.Duration(p.failed), wait))
}

func (p *pause) end(m *Manager) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed > 0 {
		m.cfg.Log.Info("the authority for certificates serves us again", "failed_orders", p.failed)
	}
	p.failed, p.until = 0, time.Time{}
}

// tidy forgets old orders and names.
func (m *Manager) tidy(ctx context.Context) {
	for {
		now := m.store.time()
		_, err := m.db.Control().DeleteTLSOrdersBefore(ctx, controldb.DeleteTLSOrdersBeforeParams{Before: now.Add(-keepOrders), MaxRows: tidyRows})
		if err == nil {
			err = m.forget(ctx, now.Add(-keepGone))
		}
		if err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
			m.cfg.Log.Warn("old orders of certificates stay", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tidyEvery):
		}
	}
}

// forget takes away names that have been nobody's for a while, with what was made for them.
func (m *Manager) forget(ctx context.Context, before time.Time) error {
	gone, err := m.db.Control().DeleteTLSNamesOld(ctx, controldb.DeleteTLSNamesOldParams{Before: before, MaxRows: tidyRows})
	for _, subject := range gone {
		err = errors.Join(err, forgetItems(ctx, m.db.Control(), subject))
	}
	return err
}

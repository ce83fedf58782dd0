package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// refusedFor is how long a name that nobody has is refused without a look, refusedBytes bounds how many are kept.
	refusedFor   = 5 * time.Second
	refusedBytes = 1 << 20
	// Looks for accounts that invented names cause, a second: of one tenant, and in all.
	looksOfOne = 20
	looksInAll = 200
)

// Names says for which names there may be certificates. It is safe for concurrent use.
type Names struct {
	byHost  func(ctx context.Context, host string) (tenant.Match, error)
	active  func(ctx context.Context, schema db.Schema, handle string) (bool, error)
	tenants func(ctx context.Context) ([]*tenant.Tenant, error)
	zones   []string
	now     func() time.Time

	mu      sync.Mutex
	refused *cache.Cache[string, time.Time]
	second  int64
	looks   map[int64]int
	inAll   int
}

// NewNames makes it of what the process knows: whom a host leads to, whether a handle is that of an account in use, and
// all tenants. zones are the DNS zones that this deployment can change.
func NewNames(byHost func(context.Context, string) (tenant.Match, error), active func(context.Context, db.Schema, string) (bool, error), tenants func(context.Context) ([]*tenant.Tenant, error), zones []string, now func() time.Time) *Names {
	return &Names{byHost: byHost, active: active, tenants: tenants, zones: zones, now: now, refused: cache.New[string, time.Time](refusedBytes, now)}
}

// Wanted is a certificate that there may be.
type Wanted struct {
	Subject  string // the name itself, or *.domain
	TenantID int64
}

// Wildcard tells a certificate for all names of a domain.
func (w Wanted) Wildcard() bool { return strings.HasPrefix(w.Subject, "*.") }

// For says which certificate a name is served by. Names of tenants have one, and handles of accounts that are in use.
// Where the zone is ours to change, one wildcard serves all names of a domain. Errors: [ErrNoName], or that it cannot be
// found out now.
func (n *Names) For(ctx context.Context, name string) (Wanted, error) {
	if !plausible(name) || n.isRefused(name) {
		return Wanted{}, ErrNoName
	}
	w, err := n.find(ctx, name)
	if errors.Is(err, ErrNoName) {
		n.refuse(name)
	}
	return w, err
}

func (n *Names) find(ctx context.Context, name string) (Wanted, error) {
	m, err := n.byHost(ctx, name)
	if m.Tenant == nil || !m.HasStream() && m.State != tenant.Behind && m.State != tenant.TooNew {
		if err == nil || errors.Is(err, tenant.ErrUnknownHost) {
			return Wanted{}, ErrNoName
		}
		if m.Tenant != nil {
			return Wanted{}, fmt.Errorf("%w: %w", ErrNoName, err)
		}
		return Wanted{}, err
	}
	w := Wanted{Subject: name, TenantID: m.ID}
	_, parent, _ := strings.Cut(name, ".")
	if n.inZone(parent) && (m.Kind != tenant.HandleHost || slices.Contains(m.HandleDomains, parent)) {
		w.Subject = "*." + parent
		return w, nil
	}
	if m.Kind != tenant.HandleHost {
		return w, nil
	}
	if m.State != tenant.Active && m.State != tenant.Moving && m.State != tenant.Suspended {
		return Wanted{}, ErrNoName
	}
	if !n.mayLook(m.ID) {
		return Wanted{}, fmt.Errorf("%w: too many names are being looked up", ErrNotYet)
	}
	ok, err := n.active(ctx, m.Schema, name)
	if err == nil && !ok {
		err = ErrNoName
	}
	return w, err
}

// Still says whether a certificate is of use to anybody.
func (n *Names) Still(ctx context.Context, subject string) (Wanted, error) {
	domain, wild := strings.CutPrefix(subject, "*.")
	if !wild {
		w, err := n.find(ctx, subject)
		w.Subject = subject // also where a wildcard would do today
		return w, err
	}
	all, err := n.tenants(ctx)
	if err != nil {
		return Wanted{}, err
	}
	for _, t := range all {
		if !t.HasStream() {
			continue
		}
		_, above, _ := strings.Cut(t.Hostname, ".")
		if above == domain || slices.Contains(t.HandleDomains, domain) || slices.ContainsFunc(t.Former, func(f tenant.Former) bool {
			_, above, _ := strings.Cut(f.Hostname, ".")
			return above == domain
		}) {
			return Wanted{Subject: subject, TenantID: t.ID}, nil
		}
	}
	return Wanted{}, ErrNoName
}

func (n *Names) inZone(domain string) bool {
	return slices.ContainsFunc(n.zones, func(z string) bool { return domain == z || strings.HasSuffix(domain, "."+z) })
}

// OurZone says whether a certificate is proved by DNS.
func (n *Names) ourZone(subject string) bool { return n.inZone(strings.TrimPrefix(subject, "*.")) }

func (n *Names) isRefused(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	until, ok := n.refused.Get(name)
	if ok && !n.now().Before(until) {
		n.refused.Remove(name)
		ok = false
	}
	return ok
}

func (n *Names) refuse(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused.Put("", name, n.now().Add(refusedFor), int64(64+len(name)))
}

// mayLook counts looks for accounts: a stranger can invent handles as fast as it likes.
func (n *Names) mayLook(of int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.now().Unix(); s != n.second {
		n.second, n.inAll, n.looks = s, 0, map[int64]int{}
	}
	if n.inAll >= looksInAll || n.looks[of] >= looksOfOne {
		return false
	}
	n.inAll++
	n.looks[of]++
	return true
}

// plausible refuses what no certificate is made for, before anything is looked up.
func plausible(name string) bool {
	return len(name) <= 253 && strings.Contains(name, ".") && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" &&
		!strings.HasPrefix(name, ".") && strings.Trim(name, "0123456789.") != ""
}

// Normal is a name as it is kept.
func Normal(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// registered is the domain by which an authority counts.
func registered(subject string) string {
	name := strings.TrimPrefix(subject, "*.")
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name
}

// wildcardOf is the wildcard that covers a name, "" if none does.
func wildcardOf(name string) string {
	_, parent, ok := strings.Cut(name, ".")
	if !ok {
		return ""
	}
	return "*." + parent
}

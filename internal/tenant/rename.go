package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// A tenant that is renamed has its new name at once, in all that it says of itself. Its accounts' DIDs are changed one
// after the other, and meanwhile it is served under both names. When all are changed the old name is a former one: it
// leads to the tenant until an operator releases it.

// BeginRename gives a tenant another hostname. The old one stays with it; as a handle domain, too, where it was one, and
// then the new one is one as well. One that has the name already goes on with what an earlier call began. Errors:
// [ErrBadHostname], [ErrHostnameTaken], [ErrHandlesExist], [ErrState].
func (r *Registry) BeginRename(ctx context.Context, t *Tenant, to string) (*Tenant, error) {
	host, err := checkHostname(to, r.cfg.Names)
	if err != nil {
		return nil, err
	}
	if host == t.Hostname {
		return t, nil
	}
	names, err := r.renamed(t, host)
	if err != nil {
		return nil, err
	}
	done, undo, err := r.handOver(ctx, t, names)
	if err != nil {
		return nil, err
	}
	now, err := r.change(ctx, t, func(q *controldb.Queries, was State) error {
		if was != Active && was != Suspended {
			return fmt.Errorf("%w: %s is %s", ErrState, t.Hostname, was)
		}
		if err := r.replaceNames(ctx, q, t.ID, names); err != nil {
			return err
		}
		// A name that the tenant comes back to was left; one that is left now is being left.
		if _, err := q.UpdateHostnameFormer(ctx, controldb.UpdateHostnameFormerParams{Hostname: t.Hostname, TenantID: t.ID}); err != nil {
			return fmt.Errorf("rename %s: %w", t.Hostname, err)
		}
		if err := q.DeleteCrawlersOfTenant(ctx, t.ID); err != nil { // relays are asked to come to the new name
			return fmt.Errorf("rename %s: %w", t.Hostname, err)
		}
		revision, err := q.LockNextCounter(ctx, counterRevision)
		if err != nil {
			return fmt.Errorf("take a revision: %w", err)
		}
		_, err = q.UpdateTenantHostname(ctx, controldb.UpdateTenantHostnameParams{TenantID: t.ID, Hostname: host, ServiceDID: r.serviceDID(host), Revision: revision})
		if err != nil {
			return r.taken(err, host)
		}
		return nil
	})
	if errors.Is(err, db.ErrUnknownOutcome) {
		return nil, err // the guard refuses handles under both: the same call again ends what was begun
	}
	if err != nil {
		return nil, errors.Join(err, undo(ctx))
	}
	return now, done(ctx)
}

// renamed are the names of a tenant that is called host from now on.
func (r *Registry) renamed(t *Tenant, host string) (map[string]int16, error) {
	names, err := r.namesOf(host, t.HandleDomains, append(slices.Clone(t.Former), Former{Hostname: t.Hostname})...)
	if err != nil {
		return nil, err
	}
	names[host] &^= nameFormer // one that it goes back to
	if slices.Contains(t.HandleDomains, t.Hostname) {
		if _, err := checkHandleDomain(host, r.cfg.Names); err == nil {
			names[host] |= nameHandle
		}
	}
	return names, nil
}

// EndRename says that no account's DID leads to the former names any more.
func (r *Registry) EndRename(ctx context.Context, t *Tenant) (*Tenant, error) {
	now := r.moment()
	return r.change(ctx, t, func(q *controldb.Queries, _ State) error {
		for _, f := range t.Former {
			if !f.Since.IsZero() {
				continue
			}
			if _, err := q.UpdateHostnameFormer(ctx, controldb.UpdateHostnameFormerParams{Hostname: f.Hostname, TenantID: t.ID, Since: &now}); err != nil {
				return fmt.Errorf("end rename of %s: %w", t.Hostname, err)
			}
		}
		return r.touch(ctx, q, t.ID)
	})
}

// Release gives a former name away: it is anybody's then. It must not be a handle domain any more. Errors:
// [ErrNotFound], [ErrState].
func (r *Registry) Release(ctx context.Context, t *Tenant, name string) (*Tenant, error) {
	f, ok := t.Was(name)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: %s was never called %s", ErrNotFound, t.Hostname, name)
	case f.Since.IsZero():
		return nil, fmt.Errorf("%w: accounts of %s still say that they are at %s: 'locus tenant rename %s %s' goes on with it", ErrState, t.Hostname, name, name, t.Hostname)
	case slices.Contains(t.HandleDomains, name):
		return nil, fmt.Errorf("%w: %s is a handle domain of %s: take it out first ('locus tenant set %s handle_domains=…')", ErrState, name, t.Hostname, t.Hostname)
	}
	return r.change(ctx, t, func(q *controldb.Queries, _ State) error {
		if _, err := q.DeleteHostname(ctx, controldb.DeleteHostnameParams{Hostname: name, TenantID: t.ID}); err != nil {
			return fmt.Errorf("release %s: %w", name, err)
		}
		return r.touch(ctx, q, t.ID)
	})
}

// DropHandleDomain takes a handle domain from a tenant whose accounts have no handles there any more. Errors:
// [ErrHandlesExist].
func (r *Registry) DropHandleDomain(ctx context.Context, t *Tenant, domain string) (*Tenant, error) {
	if !slices.Contains(t.HandleDomains, domain) {
		return t, nil
	}
	rest := slices.DeleteFunc(slices.Clone(t.HandleDomains), func(d string) bool { return d == domain })
	return r.Set(ctx, t.Hostname, map[string]string{KeyHandleDomains: strings.Join(rest, ",")})
}

// touch tells every process to look at the tenant again.
func (r *Registry) touch(ctx context.Context, q *controldb.Queries, id int64) error {
	row, err := q.LockTenant(ctx, id)
	if err != nil {
		return fmt.Errorf("lock tenant %d: %w", id, err)
	}
	return r.setState(ctx, q, id, State(row.State))
}

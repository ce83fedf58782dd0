package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db"
)

// Adopted is a tenant that is made of what another one was.
type Adopted struct {
	Hostname      string
	HandleDomains []string          // none: the hostname itself
	Settings      json.RawMessage   // as they are stored
	Change        map[string]string // settings that are to be other ones, as for Set
	Node          int32             // as in Spec
}

// Adopt makes a tenant as Create does, but for what is in its schema: fill makes the schema and all in it. It is called
// with the schema missing or in whatever state an earlier call has left it, and nobody else looks at it. Until fill has
// ended nobody sees the tenant, and after a failure the same call begins anew. Errors: those of [Registry.Create], those
// of fill.
func (r *Registry) Adopt(ctx context.Context, a Adopted, fill func(ctx context.Context, t *Tenant) error) (*Tenant, error) {
	p, err := r.plan(Spec{Hostname: a.Hostname, HandleDomains: a.HandleDomains, Node: a.Node})
	if err != nil {
		return nil, err
	}
	picked, err := parseChosen(a.Settings)
	if err == nil {
		picked, err = picked.apply(a.Change)
	}
	if err == nil {
		p.settings, err = json.Marshal(picked)
	}
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", p.hostname, err)
	}
	if err := r.db.LearnNodes(ctx); err != nil {
		return nil, err
	}
	done, undo, err := r.handOver(ctx, nil, p.names)
	if err != nil {
		return nil, err
	}
	row, err := r.reserve(ctx, p)
	if err != nil {
		return nil, errors.Join(err, undo(ctx))
	}
	t, err := r.tenantOf(row, nil)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, t); err != nil {
		return nil, err
	}
	if err := r.activate(ctx, row.TenantID); err != nil {
		return nil, err
	}
	if err := done(ctx); err != nil {
		return nil, err
	}
	return r.Get(ctx, p.hostname)
}

// Kept is what a tenant's row has, for keeping it elsewhere.
func (r *Registry) Kept(ctx context.Context, t *Tenant) (json.RawMessage, error) {
	row, err := r.db.Control().GetTenant(ctx, t.ID)
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read tenant %s: %w", t.Hostname, err)
	}
	return json.RawMessage(row.Settings), nil
}

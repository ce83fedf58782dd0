package tenant

import (
	"context"
	"fmt"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
)

// listSlice is how many handles are read at once, and how many tenants.
const listSlice = 1000

// Elsewhere is a handle outside its tenant's own domains of which the whole deployment knows. Only [Registry.NoteHandle]
// makes one: an account can have such a handle only after that.
type Elsewhere struct{ handle string }

// Is says whether it is this handle. Nil is none.
func (e *Elsewhere) Is(handle string) bool { return e != nil && e.handle == handle }

// NoteHandle tells the deployment of a handle outside a tenant's own domains, before an account gets it: whoever takes a
// name must find out whom it would take a handle from, and cannot ask every tenant.
func (r *Registry) NoteHandle(ctx context.Context, t *Tenant, handle string) (*Elsewhere, error) {
	err := r.db.Control().InsertHandlesElsewhere(ctx, controldb.InsertHandlesElsewhereParams{TenantID: t.ID, Handles: []string{handle}})
	if err != nil {
		return nil, fmt.Errorf("note the handle %s: %w", handle, err)
	}
	return &Elsewhere{handle}, nil
}

// ForgetHandles has a tenant's handles read anew before a name changes hands, because they came there by another way than
// one at a time.
func (r *Registry) ForgetHandles(ctx context.Context, t *Tenant) error {
	if err := r.db.Control().DeleteHandlesListed(ctx, t.ID); err != nil {
		return fmt.Errorf("forget the handles of %s: %w", t.Hostname, err)
	}
	return nil
}

// listHandles reads the handles of all tenants of whom that was never done. Errors name the tenant.
func (r *Registry) listHandles(ctx context.Context, ix *index) error {
	for after := int64(0); ; {
		ids, err := r.db.Control().ListTenantsUnlisted(ctx, controldb.ListTenantsUnlistedParams{After: after, MaxRows: listSlice})
		if err != nil {
			return fmt.Errorf("look for tenants whose handles were never read: %w", err)
		}
		for _, id := range ids {
			after = id
			if t := ix.byID[id]; t != nil && hasHandles(t) {
				if err := r.listHandlesOf(ctx, t); err != nil {
					return fmt.Errorf("look for handles of %s: %w", t.Hostname, err)
				}
			}
		}
		if len(ids) < listSlice {
			return nil
		}
	}
}

// hasHandles: nobody answers for the handles of a tenant that is being made or deleted.
func hasHandles(t *Tenant) bool { return t.State != Provisioning && t.State != Deleting }

func (r *Registry) listHandlesOf(ctx context.Context, t *Tenant) error {
	q := r.db.Tenant(t.Schema).Q()
	for after := int64(0); ; {
		rows, err := q.ListHandlesElsewhere(ctx, tenantdb.ListHandlesElsewhereParams{After: after, Domains: notNil(t.HandleDomains), MaxRows: listSlice})
		if err != nil {
			return err
		}
		handles := make([]string, len(rows))
		for i, row := range rows {
			handles[i], after = row.Handle, row.AID
		}
		if len(handles) > 0 {
			err := r.db.Control().InsertHandlesElsewhere(ctx, controldb.InsertHandlesElsewhereParams{TenantID: t.ID, Handles: handles})
			if err != nil {
				return err
			}
		}
		if len(rows) < listSlice {
			return r.db.Control().InsertHandlesListed(ctx, t.ID)
		}
	}
}

// concerned are the tenants that may have handles under names that another one takes, by id. True: it answers for the names
// now, and may get more of them at this moment. False: it has, or had, handles elsewhere.
func (r *Registry) concerned(ctx context.Context, ix *index, taken cession) (map[int64]bool, error) {
	if taken.empty() {
		return nil, nil
	}
	if err := r.listHandles(ctx, ix); err != nil {
		return nil, err
	}
	ids, err := r.db.Control().ListTenantsWithHandlesElsewhere(ctx, controldb.ListTenantsWithHandlesElsewhereParams{Names: notNil(taken.names), Domains: notNil(taken.domains)})
	if err != nil {
		return nil, fmt.Errorf("look for handles: %w", err)
	}
	answers := map[int64]bool{}
	for _, id := range ids {
		answers[id] = false
	}
	for _, name := range taken.all() {
		if m, ok := ix.match(anyLabel + name); ok {
			answers[m.ID] = true
		}
	}
	return answers, nil
}

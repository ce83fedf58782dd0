package tenant

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/auroralocus/locus/db/controldb"
)

// compareEvery is how often a process looks whether all tenants that it knows are still there. A tenant that goes tells
// everybody who looks once a second, as state [Purging]. This is for a process that could not look just then.
const compareEvery = 10 * time.Minute

// OnGone has f called for each tenant that is there no more: what a process remembers of it is to be forgotten. Call it
// before the registry is used. f must not ask the registry.
func (r *Registry) OnGone(f func(*Tenant)) { r.onGone = append(r.onGone, f) }

// bury tells of the tenants that went. Only refresh calls it, under its lock.
func (r *Registry) bury(old, next *index) {
	if old == nil {
		return
	}
	for id, t := range old.byID {
		if next.byID[id] != nil {
			continue
		}
		delete(r.reported, id)
		for _, f := range r.onGone {
			f(t)
		}
	}
}

// compare drops from an index what is not in the database any more, once in [compareEvery].
func (r *Registry) compare(ctx context.Context, ix *index) (*index, error) {
	now := r.now()
	if since := now.Sub(r.compared); since >= 0 && since < compareEvery {
		return ix, nil
	}
	there := make(map[int64]bool, len(ix.byID))
	for after := int64(0); ; {
		ids, err := r.db.Control().ListTenantIDs(ctx, controldb.ListTenantIDsParams{After: after, MaxRows: 20 * tenantPage})
		if err != nil {
			return nil, fmt.Errorf("list tenants: %w", err)
		}
		for _, id := range ids {
			there[id] = true
		}
		if len(ids) < 20*tenantPage {
			break
		}
		after = ids[len(ids)-1]
	}
	r.compared = now
	gone := false
	for id := range ix.byID {
		gone = gone || !there[id]
	}
	if !gone {
		return ix, nil
	}
	next := newIndex()
	next.revision = ix.revision
	maps.Copy(next.byID, ix.byID)
	maps.DeleteFunc(next.byID, func(id int64, _ *Tenant) bool { return !there[id] })
	next.name()
	return next, nil
}

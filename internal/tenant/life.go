package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// ErrState: not in this state of a tenant. The text says which, and what can be done.
var ErrState = errors.New("not while the tenant is as it is")

// Life is why a tenant is not served, and since when.
type Life struct {
	SuspendedAt   time.Time // zero: it was not suspended
	SuspendReason string
	DeletedAt     time.Time // zero: it is not deleted
	DeleteReason  string
	PurgeAt       time.Time // until then a deletion can be undone
}

// Life reads it; all of it is empty for a tenant that is served.
func (r *Registry) Life(ctx context.Context, t *Tenant) (out Life, err error) {
	row, err := r.db.Control().GetTenantLife(ctx, t.ID)
	if db.IsNoRows(err) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("life of %s: %w", t.Hostname, err)
	}
	set := func(to *time.Time, at *time.Time) {
		if at != nil {
			*to = *at
		}
	}
	set(&out.SuspendedAt, row.SuspendedAt)
	set(&out.DeletedAt, row.DeletedAt)
	set(&out.PurgeAt, row.PurgeAt)
	out.SuspendReason, out.DeleteReason = row.SuspendReason, row.DeleteReason
	return out, nil
}

// ToPurge are the tenants whose deletion can be undone no longer, and those whose removal began and did not end.
func (r *Registry) ToPurge(ctx context.Context, most int) ([]int64, error) {
	ids, err := r.db.Control().ListTenantsToPurge(ctx, controldb.ListTenantsToPurgeParams{Now: r.now(), MaxRows: int32(most)})
	if err != nil {
		return nil, fmt.Errorf("list tenants to purge: %w", err)
	}
	return ids, nil
}

// change locks a tenant's row, lets do change it by the state that it has, and gives the tenant as it is then.
func (r *Registry) change(ctx context.Context, t *Tenant, do func(q *controldb.Queries, was State) error) (*Tenant, error) {
	if err := t.Usable(); err != nil {
		return nil, err
	}
	err := r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		row, err := q.LockTenant(ctx, t.ID)
		if db.IsNoRows(err) {
			return fmt.Errorf("%w: %s", ErrNotFound, t.Hostname)
		}
		if err != nil {
			return fmt.Errorf("lock tenant %s: %w", t.Hostname, err)
		}
		return do(q, State(row.State))
	})
	if err != nil {
		return nil, err
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	return r.ByID(ctx, t.ID)
}

// Suspend switches a tenant off, or gives another reason for it. What is served meanwhile is the faces' to say. Live
// everywhere within about a second. Errors: [ErrState].
func (r *Registry) Suspend(ctx context.Context, t *Tenant, reason string) (*Tenant, error) {
	return r.change(ctx, t, func(q *controldb.Queries, was State) error {
		if was != Active && was != Suspended {
			return fmt.Errorf("%w: %s is %s", ErrState, t.Hostname, was)
		}
		now := r.moment()
		if err := q.UpsertTenantSuspended(ctx, controldb.UpsertTenantSuspendedParams{TenantID: t.ID, At: &now, Reason: reason}); err != nil {
			return fmt.Errorf("suspend %s: %w", t.Hostname, err)
		}
		return r.setState(ctx, q, t.ID, Suspended)
	})
}

// Resume switches a tenant on that was suspended. One that is served is no error. Errors: [ErrState].
func (r *Registry) Resume(ctx context.Context, t *Tenant) (*Tenant, error) {
	return r.change(ctx, t, func(q *controldb.Queries, was State) error {
		switch was {
		case Active:
			return nil
		case Suspended:
		case Deleting:
			return fmt.Errorf("%w: %s is deleted; 'locus tenant undelete %s' brings it back", ErrState, t.Hostname, t.Hostname)
		default:
			return fmt.Errorf("%w: %s is %s", ErrState, t.Hostname, was)
		}
		if err := q.DeleteTenantLife(ctx, t.ID); err != nil {
			return fmt.Errorf("resume %s: %w", t.Hostname, err)
		}
		return r.setState(ctx, q, t.ID, Active)
	})
}

// Delete takes a tenant out of service until purgeAt, when it may be removed for good. Asked again it takes the new date
// and reason. Errors: [ErrState].
func (r *Registry) Delete(ctx context.Context, t *Tenant, reason string, purgeAt time.Time) (*Tenant, error) {
	return r.change(ctx, t, func(q *controldb.Queries, was State) error {
		now := r.moment()
		in := controldb.UpsertTenantDeletedParams{TenantID: t.ID, At: &now, Reason: reason, PurgeAt: &purgeAt}
		switch was {
		case Active, Deleting, Provisioning:
		case Suspended:
			in.SuspendedAt = &now // where nobody wrote down since when
		default:
			return fmt.Errorf("%w: %s is %s", ErrState, t.Hostname, was)
		}
		if err := q.UpsertTenantDeleted(ctx, in); err != nil {
			return fmt.Errorf("delete %s: %w", t.Hostname, err)
		}
		return r.setState(ctx, q, t.ID, Deleting)
	})
}

// Undelete brings back a tenant that was deleted: served, or suspended if it was that before. Errors: [ErrState].
func (r *Registry) Undelete(ctx context.Context, t *Tenant) (*Tenant, error) {
	return r.change(ctx, t, func(q *controldb.Queries, was State) error {
		if was != Deleting {
			return fmt.Errorf("%w: %s is %s, not deleted", ErrState, t.Hostname, was)
		}
		row, err := q.GetTenantLife(ctx, t.ID)
		if err != nil && !db.IsNoRows(err) {
			return fmt.Errorf("life of %s: %w", t.Hostname, err)
		}
		if row.SuspendedAt != nil {
			err = q.UpdateTenantUndeleted(ctx, t.ID)
		} else {
			err = q.DeleteTenantLife(ctx, t.ID)
		}
		if err != nil {
			return fmt.Errorf("undelete %s: %w", t.Hostname, err)
		}
		if row.SuspendedAt != nil {
			return r.setState(ctx, q, t.ID, Suspended)
		}
		return r.setState(ctx, q, t.ID, Active)
	})
}

// BeginPurge takes a deleted tenant away from everybody, for good: no process serves anything of it about a second
// later. It gives the schema that is to be dropped. One whose purge has begun is no error. Errors: [ErrState],
// [ErrNotFound].
func (r *Registry) BeginPurge(ctx context.Context, id int64) (schema db.Schema, hostname string, err error) {
	err = r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		row, err := q.LockTenant(ctx, id)
		if db.IsNoRows(err) {
			return fmt.Errorf("%w: id %d", ErrNotFound, id)
		}
		if err != nil {
			return fmt.Errorf("lock tenant %d: %w", id, err)
		}
		if schema, err = db.ParseSchema(row.SchemaName); err != nil {
			return err
		}
		schema, hostname = schema.On(row.NodeID), row.Hostname
		switch State(row.State) {
		case Purging:
			return nil
		case Deleting:
			return r.setState(ctx, q, id, Purging)
		}
		return fmt.Errorf("%w: %s is %s: 'locus tenant delete %s' comes first", ErrState, row.Hostname, State(row.State), row.Hostname)
	})
	if err != nil {
		return schema, hostname, err
	}
	return schema, hostname, r.Refresh(ctx)
}

// FreeNames lets whoever has a domain around a name of a tenant that is being removed give handles under that name again. It
// comes before [Registry.EndPurge], which forgets the names, and may be repeated.
func (r *Registry) FreeNames(ctx context.Context, id int64) error {
	names, err := r.db.Control().ListHostnamesOfTenant(ctx, controldb.ListHostnamesOfTenantParams{TenantID: id, MaxRows: maxNames})
	if err != nil {
		return fmt.Errorf("list names of tenant %d: %w", id, err)
	}
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	ix := r.current.Load()
	for _, n := range names {
		for around := n.Hostname; around != ""; _, around, _ = strings.Cut(around, ".") {
			m, ok := ix.match(anyLabel + around)
			if !ok || m.ID == id {
				continue
			}
			if hasHandles(m.Tenant) {
				if err := r.free(ctx, m.Tenant, []string{n.Hostname}); err != nil {
					return err
				}
			}
			break
		}
	}
	return nil
}

// EndPurge removes the last of a tenant, its row and its names, which are anybody's then. Its schema must be gone.
// Errors: [ErrState].
func (r *Registry) EndPurge(ctx context.Context, id int64) error {
	return r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		row, err := q.LockTenant(ctx, id)
		if db.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock tenant %d: %w", id, err)
		}
		if State(row.State) != Purging {
			return fmt.Errorf("%w: %s is %s", ErrState, row.Hostname, State(row.State))
		}
		if _, err := q.DeleteHostnamesOfTenant(ctx, id); err != nil {
			return fmt.Errorf("delete names of tenant %d: %w", id, err)
		}
		if err := q.DeleteTenantLife(ctx, id); err != nil {
			return fmt.Errorf("delete life of tenant %d: %w", id, err)
		}
		if err := q.DeleteQuotasReachedOfTenant(ctx, id); err != nil {
			return fmt.Errorf("delete quotas of tenant %d: %w", id, err)
		}
		if _, err := q.DeleteTenant(ctx, id); err != nil {
			return fmt.Errorf("delete tenant %d: %w", id, err)
		}
		return nil
	})
}

// moment is now as Postgres keeps it.
func (r *Registry) moment() time.Time { return r.now().UTC().Truncate(time.Microsecond) }

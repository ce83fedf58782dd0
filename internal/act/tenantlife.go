package act

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// suspendTenant: first nothing is served, then relays are told. Accounts that are hidden anyway stay what they are.
func (a *Acts) suspendTenant(ctx context.Context, r *job.Run) error {
	var st lifeState
	t, args, err := a.lifeOf(ctx, r, &st)
	if err != nil {
		return err
	}
	if !st.Begun {
		err := a.beginLife(ctx, r, &st, t, args, map[string]any{"reason": args.Reason}, func() error {
			_, err := a.Tenants.Suspend(ctx, t, args.Reason)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := a.settle(ctx, r); err != nil {
		return err
	}
	err = a.tellAccounts(ctx, r, t, &st, "telling relays", func(row announced) ([]firehose.Event, error) {
		if statusNow(row) != "" {
			return nil, nil
		}
		return []firehose.Event{firehose.NewAccount(row.AID, row.DID, false, firehose.StatusSuspended, a.Now())}, nil
	})
	if err != nil {
		return err
	}
	return a.lifeEnds(ctx, r, st)
}

// resumeTenant: first relays are told, while nothing can be written, then it is served. A relay that is told in this
// order never sees a commit of an account that it takes for suspended.
func (a *Acts) resumeTenant(ctx context.Context, r *job.Run) error {
	var st lifeState
	t, args, err := a.lifeOf(ctx, r, &st)
	if err != nil {
		return err
	}
	if t.State != tenant.Suspended && t.State != tenant.Active {
		_, err := a.Tenants.Resume(ctx, t) // says why not
		return err
	}
	if t.State == tenant.Suspended {
		err = a.tellAccounts(ctx, r, t, &st, "telling relays", func(row announced) ([]firehose.Event, error) {
			if statusNow(row) != "" {
				return nil, nil
			}
			return standingOf(row, a.Now())
		})
		if err != nil {
			return err
		}
		err = a.noted(ctx, t, args.operator(), JobResume, deed{t.Hostname, map[string]any{}}, func() error {
			_, err := a.Tenants.Resume(ctx, t)
			return err
		})
		if err != nil {
			return err
		}
	}
	return a.lifeEnds(ctx, r, st)
}

// deleteTenant: first nothing is served, then relays are told. Their events are the last that the accounts have.
func (a *Acts) deleteTenant(ctx context.Context, r *job.Run) error {
	var st lifeState
	t, args, err := a.lifeOf(ctx, r, &st)
	if err != nil {
		return err
	}
	unmade := t.State == tenant.Provisioning // its schema may not be there
	if !st.Begun {
		mark := func() error {
			_, err := a.Tenants.Delete(ctx, t, args.Reason, args.PurgeAt)
			return err
		}
		if unmade {
			err = mark()
		} else {
			err = a.beginLife(ctx, r, &st, t, args, map[string]any{"reason": args.Reason, "purgeAt": args.PurgeAt.Format(time.RFC3339)}, mark)
		}
		if err != nil {
			return err
		}
	}
	if unmade {
		return a.lifeEnds(ctx, r, st)
	}
	if err := a.settle(ctx, r); err != nil {
		return err
	}
	err = a.tellAccounts(ctx, r, t, &st, "telling relays", func(row announced) ([]firehose.Event, error) {
		return []firehose.Event{firehose.NewAccount(row.AID, row.DID, false, firehose.StatusDeleted, a.Now())}, nil
	})
	if err != nil && !(db.IsUndefined(err)) {
		return err
	}
	return a.lifeEnds(ctx, r, st)
}

// undeleteTenant: first relays are told how each account is, then the tenant is served, or suspended as it was.
func (a *Acts) undeleteTenant(ctx context.Context, r *job.Run) error {
	var st lifeState
	t, args, err := a.lifeOf(ctx, r, &st)
	if err != nil {
		return err
	}
	if t.State != tenant.Deleting {
		if !st.Ended {
			return fmt.Errorf("%w: %s is %s, not deleted", tenant.ErrState, t.Hostname, t.State)
		}
		return a.lifeEnds(ctx, r, st)
	}
	life, err := a.Tenants.Life(ctx, t)
	if err != nil {
		return err
	}
	suspended := !life.SuspendedAt.IsZero()
	err = a.tellAccounts(ctx, r, t, &st, "telling relays", func(row announced) ([]firehose.Event, error) {
		if suspended && statusNow(row) == "" {
			return []firehose.Event{firehose.NewAccount(row.AID, row.DID, false, firehose.StatusSuspended, a.Now())}, nil
		}
		return standingOf(row, a.Now())
	})
	if err != nil {
		return err
	}
	st.Ended = true // what follows happens once
	if err := r.Save(ctx, &st); err != nil {
		return err
	}
	err = a.noted(ctx, t, args.operator(), JobUndelete, deed{t.Hostname, map[string]any{}}, func() error {
		_, err := a.Tenants.Undelete(ctx, t)
		return err
	})
	if err != nil {
		return err
	}
	return a.lifeEnds(ctx, r, st)
}

// beginLife changes a tenant's state with its line in the log, and saves that it did.
func (a *Acts) beginLife(ctx context.Context, r *job.Run, st *lifeState, t *tenant.Tenant, args lifeArgs, detail map[string]any, change func() error) error {
	if err := a.noted(ctx, t, args.operator(), r.Job.Kind, deed{t.Hostname, detail}, change); err != nil {
		return err
	}
	st.Begun = true
	return r.Save(ctx, st)
}

func (a *Acts) lifeEnds(ctx context.Context, r *job.Run, st lifeState) error {
	if err := a.Tenants.Refresh(ctx); err != nil {
		return err
	}
	t, err := a.Tenants.ByID(ctx, r.Job.TenantID)
	if err != nil {
		return err
	}
	return r.Result(LifeResult{t.Hostname, t.State.String(), st.Told})
}

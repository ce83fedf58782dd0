package act

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
)

// PurgeResult is what a purge answers.
type PurgeResult struct {
	Hostname string `json:"hostname"`
	Files    int64  `json:"files"` // removed by the last attempt
	// FilesLeft: the files were left in their stores, below the name of the schema.
	FilesLeft bool   `json:"filesLeft,omitempty"`
	Schema    string `json:"schema"`
}

// purgeTenant removes everything: each step can be repeated, and the row in control, which says what is to be removed,
// goes last. Nothing of it can be taken back.
func (a *Acts) purgeTenant(ctx context.Context, r *job.Run) error {
	var args lifeArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	id := r.Job.TenantID
	if err := a.mayPurge(ctx, id, args.Now); err != nil {
		return err
	}
	schema, hostname, err := a.Tenants.BeginPurge(ctx, id)
	if errors.Is(err, tenant.ErrNotFound) && r.Job.Attempts > 1 {
		return nil // an attempt before this one got to the end
	}
	if err != nil {
		return err
	}
	if err := a.settle(ctx, r); err != nil {
		return err
	}
	result := PurgeResult{Hostname: hostname, Schema: schema.String(), FilesLeft: !args.WithFiles}
	if args.WithFiles {
		err := a.Blobs.RemoveTenant(ctx, schema, func(n int64) {
			result.Files = n
			r.Progress("removing files", n, 0)
		})
		if err != nil && !db.IsUndefined(err) { // the schema went in an attempt before this one, and the files before it
			return fmt.Errorf("%w; 'locus tenant purge %s --leave-files' goes on without the stores", err, hostname)
		}
	}
	r.Progress("dropping the schema", 0, 0)
	if err := a.DB.DropTenantSchema(ctx, schema); err != nil {
		return err
	}
	if err := a.Tenants.HastenLeft(ctx, id); err != nil {
		return err
	}
	if err := a.Tenants.DropLeft(ctx); err != nil { // it is tried again every few minutes, until the database can be asked
		a.Log.Warn("a copy that the tenant left behind when it moved is still there", "tenant", hostname, "err", err)
	}
	if err := a.DB.ControlTx(ctx, func(q *controldb.Queries) error { return operator.ForgetTenant(ctx, q, id) }); err != nil {
		return err
	}
	if err := a.Tenants.FreeNames(ctx, id); err != nil {
		return err
	}
	if err := a.Tenants.EndPurge(ctx, id); err != nil {
		return err
	}
	a.Log.Info("tenant removed for good", "tenant", hostname, "id", id, "by", args.By, "files", result.Files)
	return r.Result(result)
}

// endPurge is for a purge that is cancelled: one that has begun goes on.
func (a *Acts) endPurge(ctx context.Context, r *job.Run) error {
	if err := a.Tenants.Refresh(ctx); err != nil {
		return err
	}
	if _, err := a.Tenants.ByID(ctx, r.Job.TenantID); err != nil {
		return job.ErrTooLate
	}
	return nil
}

// mayPurge refuses what can still be undone.
func (a *Acts) mayPurge(ctx context.Context, id int64, now bool) error {
	if err := a.Tenants.Refresh(ctx); err != nil {
		return err
	}
	t, err := a.Tenants.ByID(ctx, id)
	if errors.Is(err, tenant.ErrNotFound) {
		return nil // its purge has begun
	}
	if err != nil {
		return err
	}
	life, err := a.Tenants.Life(ctx, t)
	if err != nil || now || t.State != tenant.Deleting || !life.PurgeAt.After(a.Now()) {
		return err
	}
	return fmt.Errorf("%w: the deletion of %s can be undone until %s", tenant.ErrState, t.Hostname, life.PurgeAt.UTC().Format("2006-01-02 15:04:05Z"))
}

// purgesAtOnce is how many tenants whose time has come are looked at in one round.
const purgesAtOnce = 20

// StartPurges starts the jobs that remove tenants whose deletion can be undone no longer, and those that did not get to
// their end. Any number of processes may call it.
func (a *Acts) StartPurges(ctx context.Context, jobs *job.Runner) error {
	ids, err := a.Tenants.ToPurge(ctx, purgesAtOnce)
	if err != nil {
		return err
	}
	by := Operator{Operator: auth.Operator{Name: "locus", Role: auth.RoleOwner}}
	var failed []error
	for _, id := range ids {
		if _, err := jobs.Start(ctx, PurgeTenant(id, by, false, true)); err != nil && !errors.Is(err, job.ErrBusy) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// ForgetTenant drops what this process remembers of a tenant that is gone: keys above all.
func (a *Acts) ForgetTenant(t *tenant.Tenant) {
	a.DB.Forget(t.Schema)
	a.Keys.ForgetSchema(t.Schema.String())
	a.Actors.ForgetSchema(t.Schema)
	a.Blobs.ForgetTenant(t.Schema)
}

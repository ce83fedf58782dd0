package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
)

// The life of a tenant is made of jobs: each tells thousands of accounts' followers, or removes as much, and goes on after
// its process has died. Their names are the actions of the audit log.
const (
	JobSuspend  = "tenant suspend"
	JobResume   = "tenant resume"
	JobDelete   = "tenant delete"
	JobUndelete = "tenant undelete"
	JobPurge    = "tenant purge"
	JobRename   = "tenant rename"
)

// lifeArgs are what these jobs are started with.
type lifeArgs struct {
	startedBy

	Reason    string    `json:",omitzero"`
	PurgeAt   time.Time `json:",omitzero"`
	Now       bool      `json:",omitzero"` // purge: also before its time
	WithFiles bool      `json:",omitzero"` // purge: false leaves files where they are
	To        string    `json:",omitzero"` // rename
	Handles   bool      `json:",omitzero"` // rename: handles move along
	Rate      int       `json:",omitzero"` // rename: operations a second
}

func lifeSpec(kind string, tenantID int64, by Operator, args lifeArgs) job.Spec {
	args.startedBy = started(by)
	return job.Spec{Kind: kind, TenantID: tenantID, Args: args, By: by.Name}
}

// SuspendTenant is the job that switches a tenant off and tells its relays. Only what the table of standings names is
// served then. Nothing is lost: accounts, sessions and events stay as they are. reason is for operators.
func SuspendTenant(t *tenant.Tenant, by Operator, reason string) job.Spec {
	return lifeSpec(JobSuspend, t.ID, by, lifeArgs{Reason: reason})
}

// ResumeTenant is the job that switches it on again.
func ResumeTenant(t *tenant.Tenant, by Operator) job.Spec {
	return lifeSpec(JobResume, t.ID, by, lifeArgs{})
}

// DeletionOf is the job that takes a tenant out of service and tells its relays that all accounts are deleted. Until
// purgeAt [UndeleteTenant] brings it back. Then it is removed by [PurgeTenant], which serving processes start.
func DeletionOf(t *tenant.Tenant, by Operator, reason string, purgeAt time.Time) job.Spec {
	return lifeSpec(JobDelete, t.ID, by, lifeArgs{Reason: reason, PurgeAt: purgeAt.UTC()})
}

// UndeleteTenant is the job that brings a deleted tenant back.
func UndeleteTenant(t *tenant.Tenant, by Operator) job.Spec {
	return lifeSpec(JobUndelete, t.ID, by, lifeArgs{})
}

// PurgeTenant is the job that removes a deleted tenant for good: files, schema, names, rows. now: also while it could be
// brought back. Without withFiles the files stay in their stores, for a store that will never answer again. DIDs are left
// alone: their owners may go on elsewhere.
func PurgeTenant(id int64, by Operator, now, withFiles bool) job.Spec {
	return lifeSpec(JobPurge, id, by, lifeArgs{Now: now, WithFiles: withFiles})
}

// TenantJobs are the kinds of work that a process must register.
func (a *Acts) TenantJobs() []job.Kind {
	passes := func(err error) bool {
		_, busy := identity.Busy(err)
		return busy || db.IsUnavailable(err) || errors.Is(err, identity.ErrDIDUnavailable)
	}
	return []job.Kind{
		{Name: JobSuspend, Work: a.suspendTenant, Alone: true},
		{Name: JobResume, Work: a.resumeTenant, Alone: true},
		{Name: JobDelete, Work: a.deleteTenant, Alone: true},
		{Name: JobUndelete, Work: a.undeleteTenant, Alone: true},
		{Name: JobPurge, Work: a.purgeTenant, Abort: a.endPurge, Alone: true},
		{Name: JobRename, Work: a.renameTenant, Abort: a.endRename, Alone: true, Passes: passes},
	}
}

// lifeState is what these jobs save.
type lifeState struct {
	Begun bool  // the state is changed, and the log has it
	After int64 // accounts up to this one are told
	Told  int64
	Ended bool
}

// LifeResult is what these jobs answer.
type LifeResult struct {
	Hostname string `json:"hostname"`
	State    string `json:"state"`
	Accounts int64  `json:"accounts"` // whose followers were told
}

// lifeOf is what a job is about.
func (a *Acts) lifeOf(ctx context.Context, r *job.Run, state any) (t *tenant.Tenant, args lifeArgs, err error) {
	if err := r.Args(&args); err != nil {
		return nil, args, err
	}
	if err := r.State(state); err != nil {
		return nil, args, err
	}
	if err := a.Tenants.Refresh(ctx); err != nil {
		return nil, args, err
	}
	t, err = a.Tenants.ByID(ctx, r.Job.TenantID)
	return t, args, err
}

// Settled is how long a change of a tenant needs to be known everywhere: processes look once a second.
const Settled = 2 * time.Second

// settle waits until every process knows of a change.
func (a *Acts) settle(ctx context.Context, r *job.Run) error {
	r.Progress("waiting until all servers know", 0, 0)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(a.Settled):
		return nil
	}
}

// tellSlice is how many accounts' events one transaction appends.
const tellSlice = 200

// announced is an account that the network knows.
type announced = tenantdb.ListActorsAnnouncedRow

// tellAccounts appends the events that of makes for each account, and saves how far it came.
func (a *Acts) tellAccounts(ctx context.Context, r *job.Run, t *tenant.Tenant, st *lifeState, step string, of func(announced) ([]firehose.Event, error)) error {
	q := a.DB.Tenant(t.Schema).Q()
	total, err := q.CountActorsAnnounced(ctx)
	if err != nil {
		return fmt.Errorf("count accounts of %s: %w", t.Hostname, err)
	}
	for {
		r.Progress(step, st.Told, total)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var rows []announced
		err := a.publish(ctx, t, func(q *tenantdb.Queries) (events []firehose.Event, err error) {
			if rows, err = q.ListActorsAnnounced(ctx, tenantdb.ListActorsAnnouncedParams{After: st.After, MaxRows: tellSlice}); err != nil {
				return nil, err
			}
			for _, row := range rows {
				some, err := of(row)
				if err != nil {
					return nil, err
				}
				events = append(events, some...)
			}
			return events, nil
		})
		if err != nil {
			return fmt.Errorf("tell of the accounts of %s: %w", t.Hostname, err)
		}
		if len(rows) == 0 {
			return nil
		}
		st.After, st.Told = rows[len(rows)-1].AID, st.Told+int64(len(rows))
		if err := r.Save(ctx, st); err != nil {
			return err
		}
	}
}

// statusNow is what the network is to know of an account on a tenant that is served.
func statusNow(row announced) string {
	switch {
	case row.TakedownRef != nil:
		return firehose.StatusTakendown
	case row.DeactivatedAt != nil:
		return firehose.StatusDeactivated
	}
	return ""
}

// standingOf are the events that tell how an account is now; of an active one also its newest commit, so that whoever
// dropped it fetches it anew.
func standingOf(row announced, now time.Time) ([]firehose.Event, error) {
	if status := statusNow(row); status != "" {
		return []firehose.Event{firehose.NewAccount(row.AID, row.DID, false, status, now)}, nil
	}
	head, err := cid.Cast(row.HeadCID)
	if err != nil {
		return nil, fmt.Errorf("head of actor %d: %w", row.AID, err)
	}
	return []firehose.Event{
		firehose.NewAccount(row.AID, row.DID, true, "", now),
		firehose.NewSync(row.AID, row.DID, repo.TID(row.HeadRev), head, row.HeadCommit, now),
	}, nil
}

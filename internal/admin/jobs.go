package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
)

// jobOperations are /v1/jobs.
type jobOperations struct {
	acts     *act.Acts
	jobs     *job.Runner
	watchers *watchers
}

func (o jobOperations) register(g *group) {
	support(g, get("/v1/jobs", "listJobs", "List long work, the newest first."), o.list)
	support(g, get("/v1/jobs/{job}", "getJob", "Show one job, or wait until it has moved.").
		saying("With wait it answers when the job does something else than at the time of the call, or has ended, or after so many seconds."), o.get)
	support(g, get("/v1/jobs/{job}/events", "watchJob", "Watch a job until it has ended.").
		saying(watchText).streaming(), o.watch)
	owner(g, post("/v1/jobs/{job}/cancel", "cancelJob", "Have a job end. It takes back what it did, where it still can."), o.cancel)
	tenantReader(g, get("/v1/tenants/{tenant}/jobs", "listTenantJobs", "List the long work of one tenant, the newest first."), o.listOne)
	tenantReader(g, get("/v1/tenants/{tenant}/jobs/{job}", "getTenantJob", "Show one job of a tenant, or wait until it has moved.").
		saying("As getJob does."), o.getOne)
	tenantReader(g, get("/v1/tenants/{tenant}/jobs/{job}/events", "watchTenantJob", "Watch a job of a tenant until it has ended.").
		saying(watchText).streaming(), o.watchOne)
	tenantChanger(g, post("/v1/tenants/{tenant}/jobs/{job}/cancel", "cancelTenantJob", "Have a job of a tenant end.").
		saying("A token of role tenant ends only backups."), o.cancelOne)
}

const watchText = "The answer is a stream of server-sent events (text/event-stream). Each is an event \"job\" with the job as its data, as getJob has it: one at once, one for each thing that it does, and the last when it has ended. After half an hour the stream ends; ask again."

// Job is a piece of long work.
type Job struct {
	ID        string          `json:"id" doc:"Its id."`
	Kind      string          `json:"kind" doc:"What is done."`
	TenantID  int64           `json:"tenantId,omitempty" doc:"Number of the tenant that it is about."`
	State     string          `json:"state" enum:"waiting,running,done,failed,cancelled" doc:"Where it is."`
	Ended     bool            `json:"ended" doc:"Nothing of it will change any more."`
	Cancel    bool            `json:"cancelWanted" doc:"Somebody wants it to end."`
	Step      string          `json:"step" doc:"What it does at the moment."`
	Done      int64           `json:"done" doc:"How far the step is, of total."`
	Total     int64           `json:"total" doc:"0: not known."`
	Attempts  int             `json:"attempts" doc:"How often it was begun."`
	Error     string          `json:"error,omitempty" doc:"Of the last attempt."`
	Args      json.RawMessage `json:"args,omitempty" doc:"What it was started with."`
	Result    json.RawMessage `json:"result,omitempty" doc:"What came of it."`
	By        string          `json:"by" doc:"Who wanted it."`
	CreatedAt time.Time       `json:"createdAt" doc:"When that was."`
	StartedAt *time.Time      `json:"startedAt,omitempty" doc:"When it was begun first."`
	EndedAt   *time.Time      `json:"endedAt,omitempty" doc:"When it ended."`
}

func jobOf(j job.Job) Job {
	return Job{
		ID: j.ID, Kind: j.Kind, TenantID: j.TenantID, State: j.State.String(), Ended: j.Ended(), Cancel: j.Cancel && !j.Ended(), Step: j.Step, Done: j.Done, Total: j.Total,
		Attempts: j.Attempts, Error: j.Error, Args: j.Told(), Result: j.Result, By: j.By, CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, EndedAt: j.EndedAt,
	}
}

// ListJobsInput selects jobs. Huma finds the defaults of exported types only.
type ListJobsInput struct {
	Open   bool   `query:"open" doc:"Only those that have not ended."`
	Cursor string `query:"cursor" maxLength:"60" doc:"The cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many at most."`
}

type listJobsOutput struct {
	Body struct {
		Jobs   []Job  `json:"jobs" doc:"The page."`
		Cursor string `json:"cursor,omitempty" doc:"There may be more: give this for the next page."`
	}
}

func (o jobOperations) list(ctx context.Context, _ SupportCaller, in *ListJobsInput) (*listJobsOutput, error) {
	return o.page(ctx, in, 0)
}

type listTenantJobsInput struct {
	TenantPath
	ListJobsInput
}

func (o jobOperations) listOne(ctx context.Context, c TenantReader, in *listTenantJobsInput) (*listJobsOutput, error) {
	return o.page(ctx, &in.ListJobsInput, c.Tenant.ID)
}

func (o jobOperations) page(ctx context.Context, in *ListJobsInput, tenantID int64) (*listJobsOutput, error) {
	list, err := o.jobs.List(ctx, job.Filter{TenantID: tenantID, Open: in.Open, Before: in.Cursor, Max: in.Limit})
	if err != nil {
		return nil, err
	}
	out := new(listJobsOutput)
	out.Body.Jobs = make([]Job, len(list))
	for i, j := range list {
		out.Body.Jobs[i] = jobOf(j)
	}
	if len(list) == in.Limit {
		out.Body.Cursor = list[len(list)-1].ID
	}
	return out, nil
}

// GetJobInput names a job.
type GetJobInput struct {
	Job  string `path:"job" maxLength:"60" doc:"The job's id."`
	Wait int    `query:"wait" minimum:"0" maximum:"60" doc:"Seconds to wait for news."`
}

type jobOutput struct{ Body Job }

// errMoved ends a wait.
var errMoved = errors.New("the job has moved")

func (o jobOperations) get(ctx context.Context, _ SupportCaller, in *GetJobInput) (*jobOutput, error) {
	j, err := o.jobs.Get(ctx, in.Job)
	if err != nil {
		return nil, err
	}
	return o.wait(ctx, j, in.Wait)
}

// ofTenant is a job, if it is about a tenant. Errors: [job.ErrNotFound].
func (o jobOperations) ofTenant(ctx context.Context, id string, tenantID int64) (job.Job, error) {
	j, err := o.jobs.Get(ctx, id)
	if err == nil && j.TenantID != tenantID {
		return job.Job{}, fmt.Errorf("%w: %.40q", job.ErrNotFound, id)
	}
	return j, err
}

// GetTenantJobInput names a job of a tenant.
type GetTenantJobInput struct {
	TenantPath
	GetJobInput
}

func (o jobOperations) getOne(ctx context.Context, c TenantReader, in *GetTenantJobInput) (*jobOutput, error) {
	j, err := o.ofTenant(ctx, in.Job, c.Tenant.ID)
	if err != nil {
		return nil, err
	}
	return o.wait(ctx, j, in.Wait)
}

// wait answers when a job has moved.
func (o jobOperations) wait(ctx context.Context, j job.Job, seconds int) (*jobOutput, error) {
	if seconds == 0 || j.Ended() {
		return &jobOutput{jobOf(j)}, nil
	}
	first := j
	wait, stop := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer stop()
	wait, moved := context.WithCancelCause(wait)
	last, err := o.jobs.Watch(wait, j.ID, func(j job.Job) {
		if j.Step != first.Step || j.Done != first.Done || j.State != first.State {
			moved(errMoved)
		}
	})
	switch {
	case last.ID != "" && last.Ended(): // however it ended
	case wait.Err() != nil && ctx.Err() == nil:
		if last.ID == "" {
			last = first
		}
	case err != nil:
		return nil, err
	}
	return &jobOutput{jobOf(last)}, nil
}

type jobPath struct {
	Job string `path:"job" maxLength:"60" doc:"The job's id."`
}

func (o jobOperations) cancel(ctx context.Context, c OwnerCaller, in *jobPath) (*jobOutput, error) {
	j, err := o.acts.CancelJob(ctx, c.by(), o.jobs, in.Job)
	if err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}

func (o jobOperations) cancelOne(ctx context.Context, c TenantChanger, in *tenantJobPath) (*jobOutput, error) {
	j, err := o.ofTenant(ctx, in.Job, c.Tenant.ID)
	if err != nil {
		return nil, err
	}
	if c.Role != auth.DeploymentOwner && j.Kind != act.JobBackup {
		err := o.acts.Refused(ctx, c.by(), "job cancel", c.Tenant.ID, j.ID, codeForbidden)
		return nil, errors.Join(refuse(http.StatusForbidden, codeForbidden, "A token of role %s ends backups only, and this is a %s", c.Role, j.Kind), err)
	}
	if j, err = o.acts.CancelJob(ctx, c.by(), o.jobs, in.Job); err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}

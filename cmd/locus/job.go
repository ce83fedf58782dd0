package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

type jobCmd struct {
	List   jobListCmd   `cmd:"" help:"List long work, the newest first."`
	Show   jobShowCmd   `cmd:"" help:"Show one job."`
	Watch  jobWatchCmd  `cmd:"" help:"Show the progress of a job until it has ended. The exit code says how."`
	Cancel jobCancelCmd `cmd:"" help:"Have a job end. It takes back what it did, where it still can."`
}

// jobFlags are what the commands about jobs need.
type jobFlags struct {
	dataFlags
	originFlags
	JSON bool `help:"Print JSON."`
}

func (f jobFlags) jobs(ctx context.Context, log *slog.Logger) (*job.Runner, *tenant.Registry, func(), error) {
	r, d, stop, err := tenantFlags{dataFlags: f.dataFlags, originFlags: f.originFlags}.registry(ctx, log)
	if err != nil {
		return nil, nil, nil, err
	}
	return job.New(d, time.Now, log), r, stop, nil
}

type jobListCmd struct {
	jobFlags
	Tenant string `placeholder:"HOSTNAME" help:"Only those of one tenant."`
	Open   bool   `help:"Only those that have not ended."`
	Max    int    `help:"How many at most." default:"50"`
}

func (c *jobListCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Max < 1 || c.Max > 10000 {
		return errors.New("--max must be from 1 to 10000")
	}
	jobs, tenants, stop, err := c.jobs(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	f := job.Filter{Open: c.Open, Max: c.Max}
	if c.Tenant != "" {
		t, err := tenants.Get(ctx, c.Tenant)
		if err != nil {
			return explainTenant(err)
		}
		f.TenantID = t.ID
	}
	list, err := jobs.List(ctx, f)
	if err != nil {
		return err
	}
	if c.JSON {
		out := make([]jobJSON, len(list))
		for i, j := range list {
			out[i] = jobJSONOf(ctx, j, tenants)
		}
		return printJSON(os.Stdout, out)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tKIND\tTENANT\tSTATE\tPROGRESS\tBY\tCREATED")
	for _, j := range list {
		one := jobJSONOf(ctx, j, tenants)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, one.Kind, one.Tenant, one.State, one.progress(), one.By, one.CreatedAt.Format(time.RFC3339))
	}
	return w.Flush()
}

type jobShowCmd struct {
	jobFlags
	ID string `arg:"" help:"The job's id, as 'locus job list' shows it."`
}

func (c *jobShowCmd) Run(ctx context.Context, log *slog.Logger) error {
	jobs, tenants, stop, err := c.jobs(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	j, err := jobs.Get(ctx, c.ID)
	if err != nil {
		return explainJob(err)
	}
	return printJob(os.Stdout, jobJSONOf(ctx, j, tenants), c.JSON)
}

type jobWatchCmd struct {
	jobFlags
	ID string `arg:"" help:"The job's id."`
}

func (c *jobWatchCmd) Run(ctx context.Context, log *slog.Logger) error {
	jobs, tenants, stop, err := c.jobs(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	p := newProgress()
	j, err := jobs.Watch(ctx, c.ID, p.job)
	p.end()
	if j.ID == "" {
		return explainJob(err)
	}
	return errors.Join(printJob(os.Stdout, jobJSONOf(ctx, j, tenants), c.JSON), err)
}

type jobCancelCmd struct {
	jobFlags
	ID string `arg:"" help:"The job's id."`
}

func (c *jobCancelCmd) Run(ctx context.Context, log *slog.Logger) error {
	jobs, tenants, stop, err := c.jobs(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	j, err := jobs.Cancel(ctx, c.ID)
	if err != nil {
		return explainJob(err)
	}
	if c.JSON {
		return printJob(os.Stdout, jobJSONOf(ctx, j, tenants), true)
	}
	if j.State == job.Cancelled {
		fmt.Printf("job %s is cancelled; it had not begun\n", j.ID)
		return nil
	}
	fmt.Printf("job %s will end when it has taken back what it did ('locus job watch %s')\n", j.ID, j.ID)
	return nil
}

func explainJob(err error) error {
	if errors.Is(err, job.ErrNotFound) {
		return fmt.Errorf("%w: 'locus job list' shows all", err)
	}
	return err
}

// jobJSON is the form that scripts read.
type jobJSON struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	TenantID  int64           `json:"tenantId,omitempty"`
	Tenant    string          `json:"tenant,omitempty"` // "" also where it was deleted
	State     string          `json:"state"`
	Cancel    bool            `json:"cancelWanted,omitempty"`
	Step      string          `json:"step,omitempty"`
	Done      int64           `json:"done"`
	Total     int64           `json:"total"`
	Attempts  int             `json:"attempts"`
	Error     string          `json:"error,omitempty"`
	Args      json.RawMessage `json:"args,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	By        string          `json:"by"`
	CreatedAt time.Time       `json:"createdAt"`
	StartedAt *time.Time      `json:"startedAt,omitempty"`
	EndedAt   *time.Time      `json:"endedAt,omitempty"`
}

func jobJSONOf(ctx context.Context, j job.Job, tenants *tenant.Registry) jobJSON {
	out := jobJSON{
		ID: j.ID, Kind: j.Kind, TenantID: j.TenantID, State: j.State.String(), Cancel: j.Cancel && !j.Ended(), Step: j.Step, Done: j.Done, Total: j.Total,
		Attempts: j.Attempts, Error: j.Error, Args: j.Told(), Result: j.Result, By: j.By, CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, EndedAt: j.EndedAt,
	}
	if j.TenantID != 0 {
		if t, err := tenants.ByID(ctx, j.TenantID); err == nil {
			out.Tenant = t.Hostname
		}
	}
	return out
}

func (j jobJSON) progress() string {
	switch {
	case j.EndedAt != nil:
		return ""
	case j.Total > 0:
		return fmt.Sprintf("%s: %d of %d", j.Step, j.Done, j.Total)
	}
	return j.Step
}

func printJob(out io.Writer, j jobJSON, asJSON bool) error {
	if asJSON {
		return printJSON(out, j)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	line("job", j.ID)
	line("kind", j.Kind)
	line("tenant", j.Tenant)
	state := j.State
	if j.Cancel {
		state += ", to be cancelled"
	}
	line("state", state)
	line("progress", j.progress())
	line("error", j.Error)
	line("arguments", string(j.Args))
	line("result", string(j.Result))
	line("attempts", j.Attempts)
	line("started by", j.By)
	line("created", j.CreatedAt.Format(time.RFC3339))
	if j.EndedAt != nil {
		line("ended", j.EndedAt.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// moveFlags are what the commands that move tenants have in common.
type moveFlags struct {
	tenantFlags
	Keep   time.Duration `help:"How long the copy that is left behind is kept, which nobody reads; 0s drops it at once." default:"24h"`
	Detach bool          `help:"Do not wait: a server does it. 'locus job watch' shows how far it is."`
}

// mover is what moves tenants.
type mover struct {
	tenants *tenant.Registry
	acts    *act.TenantActs
	jobs    *job.Runner
	db      *db.DB
	flags   moveFlags
}

func (f moveFlags) mover(ctx context.Context, log *slog.Logger) (*mover, func(), error) {
	r, d, stop, err := f.registry(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	acts := act.NewTenantActs(d, r, time.Now)
	jobs := job.New(d, time.Now, log)
	jobs.Register(acts.MoveJob(nil))
	return &mover{r, acts, jobs, d, f}, stop, nil
}

func (m *mover) move(ctx context.Context, t *tenant.Tenant, to string) (job.Job, error) {
	spec, err := m.acts.StartMove(ctx, t, byCommand(), to, m.flags.Keep)
	if err != nil {
		return job.Job{}, explainNode(err)
	}
	if m.flags.Detach {
		return m.jobs.Start(ctx, spec)
	}
	p := newProgress()
	defer p.end()
	return m.jobs.Do(ctx, spec, p.job)
}

type tenantMoveCmd struct {
	moveFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	To       string `required:"" placeholder:"NODE" help:"Database that it goes to: see 'locus node list'."`
}

func (c *tenantMoveCmd) Run(ctx context.Context, log *slog.Logger) error {
	m, stop, err := c.mover(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	return m.one(ctx, c.Hostname, c.To)
}

func (m *mover) one(ctx context.Context, hostname, to string) error {
	t, err := m.tenants.Get(ctx, hostname)
	if err != nil {
		return explainTenant(err)
	}
	j, err := m.move(ctx, t, to)
	if j.ID == "" {
		return err
	}
	return errors.Join(printJob(os.Stdout, jobJSONOf(ctx, j, m.tenants), m.flags.JSON), err)
}

type tenantPlaceCmd struct {
	moveFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Node     string `arg:"" help:"Database that it is to be in: see 'locus node list'."`
}

func (c *tenantPlaceCmd) Run(ctx context.Context, log *slog.Logger) error {
	m, stop, err := c.mover(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	t, err := m.tenants.Get(ctx, c.Hostname)
	if err != nil {
		return explainTenant(err)
	}
	n, err := m.tenants.Node(ctx, c.Node)
	if err != nil {
		return explainNode(err)
	}
	if n.ID != t.NodeID {
		return m.one(ctx, c.Hostname, c.Node)
	}
	return printTenant(os.Stdout, t, c.JSON)
}

type nodeDrainCmd struct {
	moveFlags
	Name string `arg:"" help:"Name of the database."`
	To   string `placeholder:"NODE" help:"Database that all go to. Default: of those that take new tenants, each to the one with the fewest."`
}

// drained is the form that scripts read.
type drained struct {
	Tenant string `json:"tenant"`
	To     string `json:"to"`
	Job    string `json:"job"`
	State  string `json:"state"`
	Error  string `json:"error,omitempty"`
}

func (c *nodeDrainCmd) Run(ctx context.Context, log *slog.Logger) error {
	m, stop, err := c.mover(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	n, err := m.acts.SetNode(ctx, byCommand(), c.Name, false)
	if err != nil {
		return explainNode(err)
	}
	all, err := m.tenants.List(ctx)
	if err != nil {
		return err
	}
	going := map[int32]int64{} // to where, of those that have only been started
	moved, failed := 0, 0
	for _, t := range all {
		if t.NodeID != n.ID || ctx.Err() != nil {
			continue
		}
		out := c.drain(ctx, m, t, n, going)
		if out.Error != "" {
			failed++
		} else {
			moved++
		}
		if c.JSON {
			err = printJSONLine(out)
		} else {
			_, err = fmt.Printf("%s to %s: job %s %s %s\n", out.Tenant, out.To, out.Job, out.State, out.Error)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed > 0:
		return fmt.Errorf("%d tenants were moved, %d were not: the same command tries again", moved, failed)
	}
	return nil
}

func (c *nodeDrainCmd) drain(ctx context.Context, m *mover, t *tenant.Tenant, from tenant.Node, going map[int32]int64) drained {
	out := drained{Tenant: t.Hostname, To: c.To}
	to, err := c.target(ctx, m, from, going)
	if err == nil {
		var j job.Job
		out.To = to.Name
		j, err = m.move(ctx, t, to.Name)
		out.Job, out.State = j.ID, j.State.String()
		if c.Detach {
			going[to.ID]++
		}
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

// target is where the next tenant goes.
func (c *nodeDrainCmd) target(ctx context.Context, m *mover, from tenant.Node, going map[int32]int64) (best tenant.Node, err error) {
	if c.To != "" {
		return m.tenants.Node(ctx, c.To)
	}
	all, err := m.tenants.Nodes(ctx)
	if err != nil {
		return best, err
	}
	for _, n := range all {
		if n.ID != from.ID && n.AcceptsNew && n.Known && (best.ID == 0 || n.Tenants+going[n.ID] < best.Tenants+going[best.ID]) {
			best = n
		}
	}
	if best.ID == 0 {
		return best, fmt.Errorf("%w: no other database that this process knows takes new tenants ('locus node add', 'locus node set NAME accepts_new=on')", tenant.ErrNodeNotFound)
	}
	return best, nil
}

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// moveFlags are what the commands that move tenants have in common.
type moveFlags struct {
	tenantFlags
	waitFlags
	Keep time.Duration `help:"How long the copy that is left behind is kept, which nobody reads; 0s drops it at once." default:"24h"`
}

// mover is what moves tenants.
type mover struct {
	tenants *tenant.Registry
	acts    *act.TenantActs
	jobs    *job.Runner
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
	jobs.Register(acts.DrainJob(jobs))
	return &mover{r, acts, jobs, f}, stop, nil
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
	spec, err := m.acts.StartMove(ctx, t, byCommand(), to, m.flags.Keep)
	if err != nil {
		return explainNode(err)
	}
	return m.flags.run(ctx, m.jobs, m.tenants, spec, m.flags.JSON, func(out io.Writer, j job.Job) error {
		var moved act.Moved
		if err := j.Into(&moved); err != nil {
			return err
		}
		if moved.From == moved.To {
			_, err := fmt.Fprintf(out, "%s was in %s already\n", t.Hostname, to)
			return err
		}
		what, left := fmt.Sprintf("%d rows", moved.Rows), fmt.Sprintf("; the copy that it left, %s, is dropped at %s", moved.LeftSchema, when(moved.LeftUntil))
		if moved.LeftSchema == "" { // within a Citus cluster
			what, left = size(moved.Bytes), ", no copy is left"
		} else if !moved.LeftUntil.After(time.Now()) {
			left = "; the copy that it left is dropped now"
		}
		_, err := fmt.Fprintf(out, "%s is in %s now: %s, writers waited for %d ms%s\n", t.Hostname, to, what, moved.PauseMillis, left)
		if err == nil && moved.SharedAnew {
			_, err = fmt.Fprintf(out, "its owner's login to the old database has ended: 'locus tenant sql enable %s' gives a new one\n", t.Hostname)
		}
		return err
	})
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

func (c *nodeDrainCmd) Run(ctx context.Context, log *slog.Logger) error {
	m, stop, err := c.mover(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	spec, err := m.acts.StartDrain(ctx, byCommand(), c.Name, c.To, c.Keep)
	if err != nil {
		return explainNode(err)
	}
	return c.judged(ctx, m.jobs, m.tenants, spec, c.JSON, func(w io.Writer, j job.Job) error {
		var out act.Drained
		if err := j.Into(&out); err != nil {
			return err
		}
		for _, one := range out.Tenants {
			fmt.Fprintf(w, "%s to %s: job %s %s %s\n", one.Tenant, one.To, one.Job, one.State, one.Error)
		}
		_, err := fmt.Fprintf(w, "%d tenants of %s were moved, %d were not; no new ones go there\n", out.Moved, out.Node, out.Failed)
		return err
	}, notDrained)
}

// notDrained is the error of a drain that left tenants where they were.
func notDrained(j job.Job) error {
	var out act.Drained
	err := j.Into(&out)
	if err == nil && out.Failed > 0 {
		err = fmt.Errorf("%d tenants were not moved: the same command tries again", out.Failed)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// purgesEvery is how often a process looks for tenants whose deletion can be undone no longer.
const purgesEvery = time.Minute

// runPurges removes them.
func (a *app) runPurges(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(purgesEvery)
	defer tick.Stop()
	for {
		if err := a.acts.StartPurges(ctx, a.jobs); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
			log.Warn("deleted tenants cannot be removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// lifeFlags are what the commands of a tenant's life share.
type lifeFlags struct {
	appFlags
	waitFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	JSON     bool   `help:"Print JSON."`
}

// do does a job in this process, or has a server do it, and prints what came of it.
func (f lifeFlags) do(ctx context.Context, log *slog.Logger, spec func(*app, *tenant.Tenant) (job.Spec, error), print func(io.Writer, job.Job) error) error {
	a, t, stop, err := f.assemble(ctx, log, f.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	s, err := spec(a, t)
	if err != nil {
		return explainTenant(err)
	}
	return explainLife(f.run(ctx, a.jobs, a.tenants, s, f.JSON, print))
}

// explainLife adds what to do next, where the work itself failed.
func explainLife(err error) error {
	if errors.Is(err, job.ErrFailed) {
		return explainTenant(err)
	}
	return err
}

func printLife(text string) func(io.Writer, job.Job) error {
	return func(out io.Writer, j job.Job) error {
		var r act.LifeResult
		if err := j.Into(&r); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "%s is %s; relays were told of %d accounts%s\n", r.Hostname, r.State, r.Accounts, text)
		return err
	}
}

type tenantSuspendCmd struct {
	lifeFlags
	Reason string `placeholder:"TEXT" help:"Why, for operators: 'locus tenant show' prints it."`
}

func (c *tenantSuspendCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.do(ctx, log, func(_ *app, t *tenant.Tenant) (job.Spec, error) {
		return act.SuspendTenant(t, byCommand(), c.Reason), nil
	}, printLife(""))
}

type tenantResumeCmd struct{ lifeFlags }

func (c *tenantResumeCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.do(ctx, log, func(_ *app, t *tenant.Tenant) (job.Spec, error) {
		return act.ResumeTenant(t, byCommand()), nil
	}, printLife(""))
}

// days is a time that may be given in days.
type days time.Duration

// UnmarshalText reads 7d, or what Go reads: 12h, 90m.
func (d *days) UnmarshalText(text []byte) error {
	number, inDays := strings.CutSuffix(string(text), "d")
	n, err := strconv.Atoi(number)
	all := time.Duration(n) * 24 * time.Hour
	if !inDays || err != nil {
		all, err = time.ParseDuration(string(text))
	}
	if err != nil || n > 3660 || all < 0 || all > 3660*24*time.Hour {
		return fmt.Errorf("%q is no time from 0 to 3660d: 7d, 12h", text)
	}
	*d = days(all)
	return nil
}

type tenantDeleteCmd struct {
	lifeFlags
	Grace   days   `help:"How long it can be undone: 7d, 12h." default:"7d"`
	Reason  string `placeholder:"TEXT" help:"Why, for operators."`
	Confirm string `placeholder:"HOST" help:"The hostname once more." required:""`
}

func (c *tenantDeleteCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.do(ctx, log, func(_ *app, t *tenant.Tenant) (job.Spec, error) {
		if c.Confirm != t.Hostname {
			return job.Spec{}, fmt.Errorf("--confirm must be %s, the hostname of the tenant that is deleted", t.Hostname)
		}
		return act.DeletionOf(t, byCommand(), c.Reason, time.Now().Add(time.Duration(c.Grace))), nil
	}, printLife(c.wayBack(time.Now())))
}

func (c *tenantDeleteCmd) wayBack(now time.Time) string {
	if c.Grace == 0 {
		return "; its rows and files are removed now, and nothing brings it back"
	}
	return fmt.Sprintf("; until %s 'locus tenant undelete %s' brings it back", now.Add(time.Duration(c.Grace)).UTC().Format("2006-01-02 15:04Z"), c.Hostname)
}

type tenantUndeleteCmd struct{ lifeFlags }

func (c *tenantUndeleteCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.do(ctx, log, func(_ *app, t *tenant.Tenant) (job.Spec, error) {
		return act.UndeleteTenant(t, byCommand()), nil
	}, printLife(""))
}

type tenantPurgeCmd struct {
	lifeFlags
	Confirm    string `placeholder:"HOST" help:"The hostname once more." required:""`
	LeaveFiles bool   `help:"Leave the files in their stores: for a store that will never answer again."`
}

func (c *tenantPurgeCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.do(ctx, log, func(_ *app, t *tenant.Tenant) (job.Spec, error) {
		if c.Confirm != t.Hostname {
			return job.Spec{}, fmt.Errorf("--confirm must be %s, the hostname of the tenant that is removed", t.Hostname)
		}
		return act.PurgeTenant(t.ID, byCommand(), true, !c.LeaveFiles), nil
	}, func(out io.Writer, j job.Job) error {
		var r act.PurgeResult
		if err := j.Into(&r); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "nothing is left of %s: %d files and schema %s are removed\n", r.Hostname, r.Files, r.Schema)
		return err
	})
}

type tenantRenameCmd struct {
	lifeFlags
	To      string `arg:"" help:"New hostname. It must lead here already."`
	Handles bool   `name:"move-handles" help:"Handles under the old hostname move to the new one. Otherwise they stay as they are."`
	Rate    int    `help:"Operations a second that the PLC directory gets." default:"5"`
}

func (c *tenantRenameCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.do(ctx, log, func(_ *app, t *tenant.Tenant) (job.Spec, error) {
		return act.RenameTenant(t, byCommand(), c.To, c.Handles, c.Rate)
	}, func(out io.Writer, j job.Job) error {
		var r act.RenameResult
		if err := j.Into(&r); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is %s now: %d accounts, %d DIDs changed\n", r.Was, r.Hostname, r.Accounts, r.Changed)
		if r.LeftCount == 0 {
			return nil
		}
		fmt.Fprintf(out, "\n%d accounts say something else than %s:\n", r.LeftCount, r.Hostname)
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		for _, l := range r.Left {
			fmt.Fprintf(w, "%s\t%s\t%s\n", l.DID, l.Handle, l.Why)
		}
		return w.Flush()
	})
}

type tenantReleaseCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Name     string `arg:"" help:"Name that it had before."`
}

func (c *tenantReleaseCmd) Run(ctx context.Context, log *slog.Logger) error {
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	now, err := t.acts.ReleaseName(ctx, t.Tenant, byCommand(), c.Name)
	if err != nil {
		return explainTenant(err)
	}
	return printTenant(os.Stdout, now, c.JSON)
}

// tenantLifeCmds are the commands of a tenant's life.
type tenantLifeCmds struct {
	Suspend  tenantSuspendCmd  `cmd:"" help:"Switch a tenant off, and tell relays. Nothing is lost; docs/tenants.md says what is still answered."`
	Resume   tenantResumeCmd   `cmd:"" help:"Switch a suspended tenant on again."`
	Rename   tenantRenameCmd   `cmd:"" help:"Give a tenant another hostname, and change the DID of each account. The old name goes on leading to it. Interrupted, the same command goes on; with the names exchanged it goes back."`
	Release  tenantReleaseCmd  `cmd:"" help:"Give a name away that a tenant had before."`
	Delete   tenantDeleteCmd   `cmd:"" help:"Delete a tenant: relays are told, and nothing else is served. For a while it can be undone; then everything is removed."`
	Undelete tenantUndeleteCmd `cmd:"" help:"Bring back a deleted tenant."`
	Purge    tenantPurgeCmd    `cmd:"" help:"Remove all that is left of a deleted tenant: files, schema, names. Accounts' DIDs stay as they are."`
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

type tenantCloneCmd struct {
	storeFlags
	waitFlags
	Hostname    string `arg:"" help:"Hostname of the tenant that is copied."`
	NewHostname string `arg:"" help:"Hostname of the copy."`
	Node        string `placeholder:"NAME" help:"Database for the copy: see 'locus node list'."`
}

func (c *tenantCloneCmd) Run(ctx context.Context, log *slog.Logger) error {
	k, err := c.keeper(ctx, log)
	if err != nil {
		return err
	}
	defer k.stop()
	t, err := k.ready(ctx, c.Hostname)
	if err != nil {
		return err
	}
	spec, err := k.backups.StartClone(ctx, byCommand(), t, c.NewHostname, c.Node)
	switch {
	case errors.Is(err, act.ErrLiving):
		return fmt.Errorf("%w: choose another hostname", err)
	case errors.Is(err, tenant.ErrNodeNotFound):
		return explainNode(err)
	case err != nil:
		return err
	}
	return explainArchive(c.run(ctx, k.jobs, k.tenants, spec, c.JSON, func(out io.Writer, j job.Job) error {
		var made act.CloneResult
		if err := j.Into(&made); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "%s is a copy of %s: %d rows and %d files, with keys of its own\n", made.Hostname, made.Of, made.Rows, made.Files)
		return err
	}))
}

type backupCmd struct {
	List   backupListCmd   `cmd:"" help:"List the backups in the deployment's store, of each tenant the newest first: those of 'locus tenant backup --store' and of the operator API."`
	Show   backupShowCmd   `cmd:"" help:"Show one backup of the store."`
	Delete backupDeleteCmd `cmd:"" help:"Delete a backup of the store."`
	Proofs backupProofsCmd `cmd:"" help:"Show what was proved restorable, and when: each tenant by drills, the whole database and copies of master keys by 'locus key check'."`
	Drill  backupDrillCmd  `cmd:"" help:"Try whether an archive could be restored: into a schema that nobody is served from, which goes again. Repositories, files and stream are proven. Exit status 1 when anything is wrong."`
}

type backupDrillCmd struct {
	storeFlags
	inputFlags
	waitFlags
}

// drillJSON is the form that scripts read.
type drillJSON struct {
	act.DrillResult
	Seconds float64 `json:"seconds"`
}

// errDrill makes the exit status tell what the output has told already.
var errDrill = errors.New("the archive would not bring back all that was there")

func (c *backupDrillCmd) Run(ctx context.Context, log *slog.Logger) error {
	if name, ok := strings.CutPrefix(c.File, inStore); ok {
		return c.fromStore(ctx, log, name)
	}
	if c.Background {
		return errBackgroundFile
	}
	open, stop, err := c.opener()
	if err != nil {
		return err
	}
	defer stop()
	a, err := c.archives(ctx, log)
	if err != nil {
		return err
	}
	defer a.stop()
	repos := repodb.New(a.db, a.keys, time.Now, log, repodb.Config{})
	defer repos.Close()
	began := time.Now()
	var out act.Drilled
	err = a.do(ctx, "backup drill", 0, false, map[string]any{"file": c.File}, func(ctx context.Context, p archive.Progress) (_ any, err error) {
		out, err = a.acts.Drill(ctx, byCommand(), act.Restore{Open: open, Name: c.File, Progress: p}, repos)
		return map[string]any{"hostname": out.Header.Tenant.Hostname, "problems": out.Found}, err
	})
	if err != nil {
		return explainArchive(err)
	}
	sum := drillJSON{out.ResultOf(), time.Since(began).Round(time.Millisecond).Seconds()}
	if err = c.print(sum); err == nil && !sum.OK {
		err = errDrill
	}
	return err
}

func (c *backupDrillCmd) print(sum drillJSON) error {
	if c.JSON {
		return printJSON(os.Stdout, sum)
	}
	text := fmt.Sprintf("%s as of %s: %d rows, %d repositories, %d files, %d problems, %.1f s\n", sum.Hostname, sum.MadeAt.Format(time.RFC3339), sum.Rows, sum.Repos, sum.Files, sum.Found, sum.Seconds)
	for _, p := range sum.Problems {
		text += "  " + p + "\n"
	}
	return printed("%s", text)
}

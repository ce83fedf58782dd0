package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/repo/repodb"
)

type tenantCloneCmd struct {
	archiveFlags
	Hostname    string `arg:"" help:"Hostname of the tenant that is copied."`
	NewHostname string `arg:"" help:"Hostname of the copy."`
	Node        string `placeholder:"NAME" help:"Database for the copy: see 'locus node list'."`
}

func (c *tenantCloneCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, err := c.archives(ctx, log)
	if err != nil {
		return err
	}
	defer a.stop()
	t, err := a.tenants.Get(ctx, c.Hostname)
	if err == nil {
		t, err = a.tenants.Ready(ctx, t)
	}
	if err != nil {
		return explainTenant(err)
	}
	node := int32(0)
	if c.Node != "" {
		n, err := a.tenants.Node(ctx, c.Node)
		if err != nil {
			return explainTenant(err)
		}
		node = n.ID
	}
	var out act.Restored
	args := map[string]any{"of": t.Hostname, "hostname": c.NewHostname}
	err = a.do(ctx, "tenant clone", t.ID, false, args, func(ctx context.Context, p archive.Progress) (_ any, err error) {
		out, err = a.acts.Clone(ctx, byCommand(), t, strings.ToLower(c.NewHostname), node, p)
		return map[string]any{"rows": out.Loaded.Rows, "files": out.Loaded.Blobs}, err
	})
	if errors.Is(err, act.ErrLiving) {
		return fmt.Errorf("%w: choose another hostname", err)
	}
	if err != nil {
		return explainArchive(err)
	}
	return printTenant(os.Stdout, out.Tenant, c.JSON)
}

type backupCmd struct {
	Drill backupDrillCmd `cmd:"" help:"Try whether an archive could be restored: into a schema that nobody is served from, which goes again. Repositories, files and stream are proven. Exit status 1 when anything is wrong."`
}

type backupDrillCmd struct {
	archiveFlags
	inputFlags
}

// drillJSON is the form that scripts read.
type drillJSON struct {
	Hostname string    `json:"hostname"`
	MadeAt   time.Time `json:"madeAt"`
	OK       bool      `json:"ok"`
	Rows     int64     `json:"rows"`
	Repos    int64     `json:"repositories"`
	Files    int64     `json:"files"`
	Missing  int64     `json:"missingFiles"`
	Found    int64     `json:"problemsFound"`
	Problems []string  `json:"problems,omitzero"` // the first of them
	Seconds  float64   `json:"seconds"`
}

// errDrill makes the exit status tell what the output has told already.
var errDrill = errors.New("the archive would not bring back all that was there")

func (c *backupDrillCmd) Run(ctx context.Context, log *slog.Logger) error {
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
		out, err = a.acts.Drill(ctx, act.Restore{Open: open, Progress: p}, repos)
		return map[string]any{"hostname": out.Header.Tenant.Hostname, "problems": out.Found}, err
	})
	if err != nil {
		return explainArchive(err)
	}
	sum := drillJSON{
		Hostname: out.Header.Tenant.Hostname, MadeAt: out.Header.MadeAt, OK: out.OK(), Rows: out.Loaded.Rows, Repos: out.Repos, Files: out.Loaded.Blobs,
		Missing: out.Loaded.BlobsMissing, Found: out.Found, Problems: out.Problems, Seconds: time.Since(began).Round(time.Millisecond).Seconds(),
	}
	if c.JSON {
		err = printJSON(os.Stdout, sum)
	} else {
		fmt.Printf("%s as of %s: %d rows, %d repositories, %d files, %d problems, %.1f s\n", sum.Hostname, sum.MadeAt.Format(time.RFC3339), sum.Rows, sum.Repos, sum.Files, sum.Found, sum.Seconds)
		for _, p := range sum.Problems {
			fmt.Println("  " + p)
		}
	}
	if err == nil && !sum.OK {
		err = errDrill
	}
	return err
}

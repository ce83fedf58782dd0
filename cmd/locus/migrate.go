package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

type migrateCmd struct {
	dataFlags
	Status bool `help:"Change nothing: tell how far the schemas are, and which migrations failed. Exit code 1 while a tenant is behind."`
	JSON   bool `help:"Print JSON."`
}

// migrateStatus is the form that scripts read.
type migrateStatus struct {
	Control  int64           `json:"control"` // this program's versions
	Tenant   int64           `json:"tenant"`
	Tenants  int64           `json:"tenants"`
	Behind   int64           `json:"behind"`
	Failures []migrateFailed `json:"failures"`
}

type migrateFailed struct {
	Hostname string `json:"hostname"`
	Version  int64  `json:"version"`
	Error    string `json:"error"`
}

// maxFailures bounds what status lists.
const maxFailures = 100

// Run brings every schema to this program's version. Servers do so by themselves, after their start; on its own it is for
// those who upgrade the schemas before the processes.
func (c *migrateCmd) Run(ctx context.Context, log *slog.Logger) error {
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if c.Status {
		return c.status(ctx, d)
	}
	if err := d.MigrateControl(ctx); err != nil {
		return fmt.Errorf("migrate control: %w", err)
	}
	if err := checkNodes(ctx, d, log); err != nil {
		return err
	}
	p := newProgress()
	err = d.MigrateTenants(ctx, 0, func(at db.Progress) { p.show("migrating tenants", int64(at.Done+at.Failed), at.Total) })
	p.end()
	if err != nil {
		return fmt.Errorf("migrate tenants: %w", err)
	}
	out, err := readMigrateStatus(ctx, d)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, out)
	}
	return printed("control is at version %d, every tenant at version %d\n", out.Control, out.Tenant)
}

func (c *migrateCmd) status(ctx context.Context, d *db.DB) error {
	if err := d.CheckControl(ctx); err != nil {
		return err
	}
	out, err := readMigrateStatus(ctx, d)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(os.Stdout, out)
	} else {
		fmt.Printf("%d of %d tenants are at version %d, %d are behind\n", out.Tenants-out.Behind, out.Tenants, out.Tenant, out.Behind)
		w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
		for _, f := range out.Failures {
			fmt.Fprintf(w, "%s\tversion %d\t%s\n", f.Hostname, f.Version, f.Error)
		}
		err = w.Flush()
	}
	if err == nil && out.Behind > 0 {
		err = fmt.Errorf("%d tenants are behind: servers upgrade them in the background, 'locus migrate' at once", out.Behind)
	}
	return err
}

func readMigrateStatus(ctx context.Context, d *db.DB) (out migrateStatus, err error) {
	if out.Control, err = db.LatestControlVersion(); err != nil {
		return out, err
	}
	if out.Tenant, err = db.LatestTenantVersion(); err != nil {
		return out, err
	}
	if out.Tenants, err = d.Control().CountTenants(ctx); err != nil {
		return out, fmt.Errorf("count tenants (is the control schema older? 'locus migrate' brings it up to date): %w", err)
	}
	if out.Behind, err = d.Control().CountTenantsBehind(ctx, out.Tenant); err != nil {
		return out, fmt.Errorf("count tenants that are behind: %w", err)
	}
	rows, err := d.Control().ListTenantsNotUpgraded(ctx, controldb.ListTenantsNotUpgradedParams{Version: out.Tenant, MaxRows: maxFailures})
	if err != nil {
		return out, fmt.Errorf("list failed migrations (is the control schema older? 'locus migrate' brings it up to date): %w", err)
	}
	out.Failures = []migrateFailed{}
	for _, row := range rows {
		out.Failures = append(out.Failures, migrateFailed{row.Hostname, row.Version, row.UpgradeError})
	}
	return out, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/auroralocus/locus/db"
)

type tenantRolesCmd struct {
	dataFlags
	Again bool `help:"Also grant anew what roles have already: after something was taken from them by hand, or after migrations by another login."`
	JSON  bool `help:"Print JSON."`
}

// Help is part of --help.
func (c *tenantRolesCmd) Help() string {
	return "With --tenant-roles (LOCUS_TENANT_ROLES) the statements of a tenant run with the rights of a role in Postgres that reaches the tenant's schema and nothing else. " +
		"This command makes the role of each tenant that has none; a server that is started with --tenant-roles does the same, and a new tenant gets its role with its schema. " +
		"It prints how many it made. It may be interrupted and run again, also while the tenants are served: nothing is lost. The login needs CREATEROLE."
}

// Run makes the roles that are missing.
func (c *tenantRolesCmd) Run(ctx context.Context, log *slog.Logger) error {
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if err := d.MigrateControl(ctx); err != nil {
		return err
	}
	if err := d.LearnNodes(ctx); err != nil {
		return err
	}
	shown := newProgress()
	made, err := d.MakeTenantRoles(ctx, c.Again, func(p db.RolesMade) { shown.show("tenants' roles", int64(p.Seen), p.Total) })
	shown.end()
	if c.JSON {
		if printErr := printJSON(os.Stdout, made); err == nil {
			err = printErr
		}
		return err
	}
	fmt.Printf("%d roles made, %d of %d tenants looked at\n", made.Made, made.Seen, made.Total)
	return err
}

// makeRoles makes the roles that are missing before anything is served with them.
func (c *serveCmd) makeRoles(ctx context.Context, d *db.DB, log *slog.Logger) error {
	if !c.TenantRoles {
		return nil
	}
	shown := newProgress()
	made, err := d.MakeTenantRoles(ctx, false, func(p db.RolesMade) { shown.show("tenants' roles", int64(p.Seen), p.Total) })
	shown.end()
	switch {
	case errors.Is(err, db.ErrNoNode): // these tenants' trouble only
		log.Error("some tenants' roles cannot be looked for", "err", err)
	case err != nil:
		return fmt.Errorf("%w (--tenant-roles)", err)
	}
	if made.Made > 0 {
		log.Info("made roles of tenants", "roles", made.Made)
	}
	return nil
}

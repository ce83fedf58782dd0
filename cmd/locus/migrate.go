package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/auroralocus/locus/db"
)

type migrateCmd struct{ dataFlags }

// Run does what every start of serve does; on its own it is for those who upgrade the schemas before the processes.
func (c *migrateCmd) Run(ctx context.Context, log *slog.Logger) error {
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if err := migrate(ctx, d, log); err != nil {
		return err
	}
	control, err := db.LatestControlVersion()
	if err != nil {
		return err
	}
	tenants, err := db.LatestTenantVersion()
	if err != nil {
		return err
	}
	fmt.Printf("control is at version %d, every tenant at version %d\n", control, tenants)
	return nil
}

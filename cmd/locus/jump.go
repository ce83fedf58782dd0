package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

type tenantJumpCmd struct {
	dataFlags
	originFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	By       int64  `help:"How many sequence numbers to pass over: more than were given out since the backup was made." default:"1000000"`
}

// Run passes over sequence numbers after a restore: relays remember numbers that the backup does not have, and would
// not read a stream that gives them out again.
func (c *tenantJumpCmd) Run(ctx context.Context, log *slog.Logger) error {
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	facts, err := c.facts(ctx, d, c.dataFlags, false)
	if err != nil {
		return err
	}
	keys, err := c.keys(ctx, d, log)
	if err != nil {
		return err
	}
	t, err := tenant.NewRegistry(d, keys, facts.Config(c.DevNames), time.Now, log).Get(ctx, c.Hostname)
	if err == nil {
		err = t.Usable()
	}
	if err != nil {
		return explainTenant(err)
	}
	last, err := firehose.Jump(ctx, d.Tenant(t.Schema), c.By, time.Now())
	if err != nil {
		return err
	}
	if err := noteAct(ctx, d.Tenant(t.Schema), "tenant jump", t.Hostname, map[string]any{"by": c.By, "last": last}, nil); err != nil {
		return err
	}
	fmt.Printf("the next event of %s is number %d\n", t.Hostname, last+1)
	return nil
}

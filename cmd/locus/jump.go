package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

type tenantJumpCmd struct {
	dataFlags
	originFlags
	jsonFlags
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
	r := tenant.NewRegistry(d, keys, facts.Config(c.DevNames), time.Now, log)
	t, err := r.Get(ctx, c.Hostname)
	if err == nil {
		t, err = r.Ready(ctx, t)
	}
	if err != nil {
		return explainTenant(err)
	}
	last, err := act.NewTenantActs(d, r, time.Now).Jump(ctx, t, byCommand(), c.By)
	if err != nil {
		return err
	}
	return c.say(outcome{"hostname": t.Hostname, "nextSeq": last + 1}, "the next event of %s is number %d", t.Hostname, last+1)
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

type tenantJumpCmd struct {
	dataFlags
	originFlags
	jsonFlags
	manyFlags
	By int64 `help:"How many sequence numbers to pass over: more than were given out since the backup was made." default:"1000000"`
}

func (*tenantJumpCmd) Help() string {
	return "Interrupted, the tenants that have a line have jumped. Run again, it passes over as many numbers once more, which harms nobody."
}

// Run passes over sequence numbers after a restore: relays remember numbers that the backup does not have, and would
// not read a stream that gives them out again.
func (c *tenantJumpCmd) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.oneOrAll(); err != nil {
		return err
	}
	if c.By < 1 {
		return errors.New("--by: streams only go forward, so give at least 1")
	}
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
	acts := act.NewTenantActs(d, r, time.Now)
	jump := func(ctx context.Context, t *tenant.Tenant, p *progress) error {
		last, err := acts.Jump(ctx, t, byCommand(), c.By)
		if err != nil {
			return err
		}
		p.end()
		return c.told(t, last)
	}
	if c.All {
		return c.walk(ctx, r, c.JSON, "passing over numbers", jump)
	}
	t, err := r.Get(ctx, c.Hostname)
	if err == nil {
		t, err = r.Ready(ctx, t)
	}
	if err != nil {
		return explainTenant(err)
	}
	return jump(ctx, t, newProgress())
}

func (c *tenantJumpCmd) told(t *tenant.Tenant, last int64) error {
	out := outcome{"hostname": t.Hostname, "nextSeq": last + 1}
	if c.All && c.JSON {
		return printJSONLine(out)
	}
	return c.say(out, "the next event of %s is number %d", t.Hostname, last+1)
}

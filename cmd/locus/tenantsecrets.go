package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

type tenantSecretsCmd struct {
	tenantFlags
	manyFlags
	EndSessions bool `help:"Refuse what was signed before, instead of taking it for its time: everybody signs in again. For secrets that somebody else may have."`
	Yes         bool `help:"Confirm --end-sessions."`
}

func (*tenantSecretsCmd) Help() string {
	return "The new secrets sign after 15 seconds, when every server knows them. Session tokens and OAuth's tokens of before are good until they end: their secrets are kept for as long, of the sessions' 90 days. App passwords and codes that were mailed stay as they are. At most four replaced secrets are good at a time."
}

func (c *tenantSecretsCmd) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.oneOrAll(); err != nil {
		return err
	}
	if c.EndSessions && !c.Yes {
		return errors.New("this ends all sessions: everybody signs in again, in every app. Give --yes to go on")
	}
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	acts := act.NewTenantActs(d, r, time.Now)
	if c.All {
		return c.walk(ctx, r, c.JSON, "replacing secrets", func(ctx context.Context, t *tenant.Tenant, p *progress) error {
			from, err := acts.RotateSecrets(ctx, t, byCommand(), c.EndSessions)
			if err != nil {
				return err
			}
			p.end()
			return c.told(t, from)
		})
	}
	t, err := r.Get(ctx, c.Hostname)
	if err != nil {
		return explainTenant(err)
	}
	from, err := acts.RotateSecrets(ctx, t, byCommand(), c.EndSessions)
	switch {
	case errors.Is(err, tenant.ErrReplacing):
		return fmt.Errorf("%w: try again in %s", err, "15 seconds")
	case errors.Is(err, tenant.ErrManyReplaced):
		return fmt.Errorf("%w: wait until then, or end all sessions with --end-sessions", err)
	case err != nil:
		return explainTenant(err)
	}
	return c.told(t, from)
}

func (c *tenantSecretsCmd) told(t *tenant.Tenant, from time.Time) error {
	out := outcome{"hostname": t.Hostname, "signsFrom": from, "endSessions": c.EndSessions}
	if c.All && c.JSON {
		return printJSONLine(out)
	}
	what := "what was signed before is good until it ends"
	if c.EndSessions {
		what = "all sessions end then"
	}
	return jsonFlags{c.JSON}.say(out, "%s signs with new secrets from %s; %s", t.Hostname, from.Format(time.RFC3339), what)
}

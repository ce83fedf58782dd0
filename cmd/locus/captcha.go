package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/auroralocus/locus/internal/tenant"
)

type tenantCaptchaCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Kind     string `arg:"" enum:"none,hcaptcha,turnstile" help:"none, hcaptcha or turnstile."`
	SiteKey  string `arg:"" optional:"" help:"The service's public key for this host."`
	Secret   string `arg:"" optional:"" default:"-" help:"The secret key; '-' reads one line from standard input."`
}

func (c *tenantCaptchaCmd) Run(ctx context.Context, log *slog.Logger) error {
	secret := ""
	if c.Kind != tenant.CaptchaNone {
		var err error
		if secret, err = secretArgument(c.Secret, os.Stdin); err != nil {
			return err
		}
	}
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	if err := t.acts.SetCaptcha(ctx, t.Tenant, byCommand(), c.Kind, c.SiteKey, secret); err != nil {
		return explainTenant(err)
	}
	return jsonFlags{c.JSON}.say(outcome{"hostname": t.Hostname, "captcha": c.Kind}, "%s asks people who open an account on a page: %s", t.Hostname, c.Kind)
}

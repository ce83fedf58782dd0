package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

// mailFlags are the deployment's mail server, for tenants that have none of their own.
type mailFlags struct {
	SMTPURL  string `name:"smtp-url" placeholder:"URL" help:"Mail server: smtp://user:password@host:587 or smtps://…; tenants may have their own (locus tenant smtp). Without one mail waits and is given up when its token has expired; with --dev it is written to the log." env:"LOCUS_SMTP_URL"`
	MailFrom string `placeholder:"ADDR" help:"Sender of mail of tenants that set no mail_from. Default: noreply@ and the tenant's hostname." env:"LOCUS_MAIL_FROM"`
}

func (f mailFlags) config(dev bool) (outbox.Config, error) {
	c := outbox.Config{From: f.MailFrom, ShowText: dev}
	if f.SMTPURL == "" {
		return c, nil
	}
	var err error
	if c.Server, err = mail.ParseServer(f.SMTPURL); err != nil {
		return c, fmt.Errorf("--smtp-url: %w", err)
	}
	return c, nil
}

type tenantSMTPCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	URL      string `arg:"" help:"smtp://user:password@host:587 or smtps://…; '-' reads one line from standard input, '' goes back to the deployment's server."`
}

func (c *tenantSMTPCmd) Run(ctx context.Context, log *slog.Logger) error {
	url := c.URL
	if url != "" {
		var err error
		if url, err = secretArgument(url, os.Stdin); err != nil {
			return err
		}
		if _, err := mail.ParseServer(url); err != nil {
			return err
		}
	}
	r, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	return explainTenant(r.SetSMTP(ctx, c.Hostname, url))
}

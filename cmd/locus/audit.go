package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

type auditCmd struct {
	List       auditListCmd       `cmd:"" help:"List what operators of a tenant did, oldest first."`
	Deployment auditDeploymentCmd `cmd:"" help:"List what was done to the deployment and to whole tenants, newest first."`
}

type auditListCmd struct {
	appFlags
	manyFlags
	Since   time.Duration `help:"Only what is younger, as 24h; 0: everything." default:"0"`
	From    time.Time     `help:"Only what came then or after, as 2026-01-31T00:00:00Z."`
	To      time.Time     `help:"Only what came before, as 2026-02-01T00:00:00Z."`
	Who     string        `help:"Only of one operator."`
	Action  string        `help:"Only one action, as com.atproto.admin.deleteAccount."`
	Subject string        `help:"Only about one account (with its records and blobs), record or blob."`
	JSON    bool          `help:"Print one JSON object a line: the export."`
}

const auditPage = 1000

func (*auditListCmd) Help() string {
	return "With --all: tenant by tenant, each line with its hostname. What was done to the deployment and to whole tenants is in 'locus audit deployment'."
}

// auditOfJSON is an entry among those of other tenants.
type auditOfJSON struct {
	Hostname string `json:"hostname"`
	audit.Entry
}

func (c *auditListCmd) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.oneOrAll(); err != nil {
		return err
	}
	f := audit.Filter{Since: c.From, Until: c.To, Who: c.Who, Action: c.Action, Subject: c.Subject}
	if c.Since > 0 {
		f.Since = time.Now().Add(-c.Since)
	}
	if c.All {
		a, stop, err := c.parts(ctx, log)
		if err != nil {
			return err
		}
		defer stop()
		return c.walk(ctx, a.tenants, c.JSON, "reading logs", func(ctx context.Context, t *tenant.Tenant, p *progress) error {
			return c.list(ctx, a, t, f, p)
		})
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	return c.list(ctx, a, t, f, nil)
}

// list prints a tenant's entries; with p, those of a tenant among others.
func (c *auditListCmd) list(ctx context.Context, a *app, t *tenant.Tenant, f audit.Filter, p *progress) error {
	for {
		page, more, err := audit.List(ctx, a.db.Tenant(t.Schema).Q(), f, auditPage, func(role int16) string { return auth.Role(role).String() })
		if err != nil {
			return err
		}
		of := ""
		if p != nil {
			p.end()
			of = t.Hostname + "  "
		}
		for _, e := range page {
			switch {
			case c.JSON && p != nil:
				err = printJSONLine(auditOfJSON{t.Hostname, e})
			case c.JSON:
				err = printJSONLine(e)
			default:
				_, err = fmt.Printf("%s%s  %-20s %-9s %-12s %s %s %s\n", of, e.At.Format("2006-01-02 15:04:05"), e.Who, e.Role, e.Outcome, e.Action, e.Subject, e.Detail)
			}
			if err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		f.After = page[len(page)-1].ID
	}
}

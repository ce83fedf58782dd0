package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
)

type auditCmd struct {
	List auditListCmd `cmd:"" help:"List what operators did, oldest first."`
}

type auditListCmd struct {
	appFlags
	Hostname string        `arg:"" help:"Hostname of the tenant."`
	Since    time.Duration `help:"Only what is younger, as 24h; 0: everything." default:"0"`
	From     time.Time     `help:"Only what came then or after, as 2026-01-31T00:00:00Z."`
	To       time.Time     `help:"Only what came before, as 2026-02-01T00:00:00Z."`
	Who      string        `help:"Only of one operator."`
	Action   string        `help:"Only one action, as com.atproto.admin.deleteAccount."`
	Subject  string        `help:"Only about one account (with its records and blobs), record or blob."`
	JSON     bool          `help:"Print one JSON object a line: the export."`
}

// noteAct writes what a command does to the audit log. change, which may be nil for what is done already, reaches what
// this transaction does not; it runs before the entry is committed, and an act that fails leaves none.
func noteAct(ctx context.Context, t *db.Tenant, action, subject string, detail any, change func() error) error {
	return noteActIn(ctx, t, action, subject, detail, func(*tenantdb.Queries) error {
		if change == nil {
			return nil
		}
		return change()
	})
}

// noteActIn is noteAct for a change of the tenant's own schema, which is then in one transaction with its entry.
func noteActIn(ctx context.Context, t *db.Tenant, action, subject string, detail any, change func(*tenantdb.Queries) error) error {
	now, by := time.Now().UTC().Truncate(time.Microsecond), commandUser()
	return t.Tx(ctx, func(q *tenantdb.Queries) error {
		err := audit.Insert(ctx, q, audit.Entry{At: now, Who: by.Name, Action: action, Subject: subject, Outcome: audit.Done}, int16(by.Role), detail)
		if err == nil {
			err = change(q)
		}
		return err
	})
}

const auditPage = 1000

func (c *auditListCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	f := audit.Filter{Since: c.From, Until: c.To, Who: c.Who, Action: c.Action, Subject: c.Subject}
	if c.Since > 0 {
		f.Since = time.Now().Add(-c.Since)
	}
	for {
		page, more, err := audit.List(ctx, a.db.Tenant(t.Schema).Q(), f, auditPage, func(role int16) string { return auth.Role(role).String() })
		if err != nil {
			return err
		}
		for _, e := range page {
			if c.JSON {
				err = printJSONLine(e)
			} else {
				_, err = fmt.Printf("%s  %-20s %-9s %-12s %s %s %s\n", e.At.Format("2006-01-02 15:04:05"), e.Who, e.Role, e.Outcome, e.Action, e.Subject, e.Detail)
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

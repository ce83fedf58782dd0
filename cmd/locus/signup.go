package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

type signupCmd struct {
	List    signupListCmd    `cmd:"" help:"List sign-ups that wait for approval (setting signup=approval), oldest first."`
	Approve signupApproveCmd `cmd:"" help:"Open an account that waits: its DID comes into being, and the network hears of it. One that comes from another server may go on moving."`
	Reject  signupRejectCmd  `cmd:"" help:"Remove an account that waits, without a trace."`
}

type signupListCmd struct {
	appFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	JSON     bool   `help:"Print one JSON object a line."`
}

func (c *signupListCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	for after := (account.Waiting{}); ; {
		page, err := account.ListWaiting(ctx, a.db.Tenant(t.Schema).Q(), after, 500)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, w := range page {
			if c.JSON {
				err = printJSONLine(w)
			} else {
				from := ""
				if w.Moved {
					from = "  from another server"
				}
				_, err = fmt.Printf("%s  %s  %s  %s%s\n", w.Since.UTC().Format(time.DateTime), w.DID, w.Handle, w.Email, from)
			}
			if err != nil {
				return err
			}
		}
		after = page[len(page)-1]
	}
}

type signupApproveCmd struct {
	accountArgs
}

func (c *signupApproveCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.decide(ctx, log, true)
}

type signupRejectCmd struct {
	accountArgs
}

func (c *signupRejectCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.decide(ctx, log, false)
}

func (c *accountArgs) decide(ctx context.Context, log *slog.Logger, approve bool) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if err := account.NotAwaiting(ctx, a.db.Tenant(t.Schema).Q(), who.AID); err == nil {
		return fmt.Errorf("%s waits for nothing", who.DID)
	}
	what := "open"
	if approve {
		err = a.acts.SetAccountStatus(ctx, t, byCommand(), who.DID, nil, &act.Mark{})
	} else {
		what = "removed"
		err = a.acts.DeleteAccount(ctx, t, byCommand(), who.DID)
	}
	if err != nil {
		return err
	}
	return c.say(outcome{"did": who.DID, "handle": who.Handle, "approved": approve}, "%s %s is %s", who.DID, who.Handle, what)
}

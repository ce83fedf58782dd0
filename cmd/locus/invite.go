package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/account"
)

type inviteCmd struct {
	Create inviteCreateCmd `cmd:"" help:"Create invite codes."`
	List   inviteListCmd   `cmd:"" help:"List invite codes, newest first."`
}

type inviteCreateCmd struct {
	appFlags
	jsonFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Uses     int    `help:"How many accounts each code opens." default:"1"`
	Count    int    `help:"How many codes." default:"1"`
	For      string `placeholder:"DID" help:"The account that may give them away; its takedown makes them useless."`
}

func (c *inviteCreateCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	var owners []string
	if c.For != "" {
		owners = []string{c.For}
	}
	codes, err := a.acts.Invites(ctx, t, byCommand(), owners, int64(c.Count), int64(c.Uses))
	if err != nil {
		return err
	}
	all := slices.Concat(codes...)
	return c.say(outcome{"codes": all, "uses": c.Uses}, "%s", strings.Join(all, "\n"))
}

type inviteListCmd struct {
	appFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	JSON     bool   `help:"Print one JSON object a line."`
}

func (c *inviteListCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	for cursor := ""; ; {
		page, next, err := account.Invites(ctx, a.db.Tenant(t.Schema).Q(), false, cursor, 500)
		if err != nil {
			return err
		}
		for _, code := range page {
			if c.JSON {
				if err := printJSONLine(code); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(out, "%s\t%s\t%d/%d used\t%s\t%s\n", code.Code, inviteState(&code), code.Total-code.Left, code.Total, code.ForAccount, code.CreatedAt.UTC().Format(time.DateOnly))
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/auroralocus/locus/internal/account"
)

type accountFactorCmd struct {
	accountArgs
	App     bool   `xor:"what" help:"Make an authenticator app's secret, and print it. It counts after --confirm, which must come within 15 minutes."`
	Confirm string `xor:"what" placeholder:"CODE" help:"Switch the authenticator on, by a code that it shows, and print backup codes."`
	Off     bool   `xor:"what" help:"Remove every second factor: for somebody who has lost them."`
}

// Run shows which second factors an account has, or changes them.
func (c *accountFactorCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	switch {
	case c.App:
		uri, err := a.acts.OfferAuthenticator(ctx, t, byCommand(), who)
		if err != nil {
			return err
		}
		return c.say(outcome{"did": who.DID, "uri": uri}, "%s", uri)
	case c.Confirm != "":
		codes, err := a.acts.ConfirmAuthenticator(ctx, t, byCommand(), who, c.Confirm)
		if err != nil {
			return err
		}
		return c.say(outcome{"did": who.DID, "backupCodes": codes}, "%s", strings.Join(codes, "\n"))
	case c.Off:
		if err := a.acts.RemoveFactors(ctx, t, byCommand(), who); err != nil {
			return err
		}
		return c.say(outcome{"did": who.DID, "email": false, "app": false}, "%s has no second factor any more", who.DID)
	}
	f, err := account.SecondFactors(ctx, a.db.Tenant(t.Schema).Q(), who.AID)
	if err != nil {
		return err
	}
	return c.say(outcome{"did": who.DID, "email": f.Email, "app": f.App}, "mailed codes: %t\nauthenticator app: %t", f.Email, f.App)
}

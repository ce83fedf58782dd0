package main

import (
	"context"
	"fmt"
	"log/slog"

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
		if err == nil {
			fmt.Println(uri)
		}
		return err
	case c.Confirm != "":
		codes, err := a.acts.ConfirmAuthenticator(ctx, t, byCommand(), who, c.Confirm)
		for _, code := range codes {
			fmt.Println(code)
		}
		return err
	case c.Off:
		return a.acts.RemoveFactors(ctx, t, byCommand(), who)
	}
	f, err := account.SecondFactors(ctx, a.db.Tenant(t.Schema).Q(), who.AID)
	if err == nil {
		fmt.Printf("mailed codes: %t\nauthenticator app: %t\n", f.Email, f.App)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
)

type accountFactorCmd struct {
	accountArgs
	App     bool   `xor:"what" help:"Make an authenticator app's secret, and print it. It counts after --confirm, which must come within 15 minutes."`
	Confirm string `xor:"what" placeholder:"CODE" help:"Switch the authenticator on, by a code that it shows, and print backup codes."`
	Off     bool   `xor:"what" help:"Remove every second factor: for somebody who has lost them."`
}

// factorNoticeLife is how long the owner's mail about a change is worth sending.
const factorNoticeLife = 7 * 24 * time.Hour

// Run shows which second factors an account has, or changes them.
func (c *accountFactorCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	tdb := a.db.Tenant(t.Schema)
	if !c.App && c.Confirm == "" && !c.Off {
		f, err := account.SecondFactors(ctx, tdb.Q(), who.AID)
		if err == nil {
			fmt.Printf("mailed codes: %t\nauthenticator app: %t\n", f.Email, f.App)
		}
		return err
	}
	secrets, err := auth.NewSessions(a.db, a.keys, nil, time.Now).Secrets(ctx, t)
	if err != nil {
		return err
	}
	made := account.NewAuthenticator(t.Hostname, who.Handle)
	var codes []string
	err = tdb.Tx(ctx, func(q *tenantdb.Queries) error {
		now, by := time.Now().UTC(), commandUser()
		what := "off"
		var notices []mail.Kind
		before, err := account.SecondFactors(ctx, q, who.AID)
		if err != nil {
			return err
		}
		switch {
		case c.App:
			what, err = "app", account.InsertAuthenticator(ctx, q, a.keys, t.Schema, now, who.AID, made)
		case c.Confirm != "":
			what, notices = "confirm", []mail.Kind{mail.KindAppFactorOn}
			if err = account.ConfirmAuthenticator(ctx, q, a.keys, t.Schema, now, who.AID, c.Confirm); err == nil {
				codes, err = account.ReplaceBackupCodes(ctx, q, secrets.Typed(), who.AID)
			}
		default:
			if before.App {
				notices = append(notices, mail.KindAppFactorOff)
			}
			if before.Email {
				notices = append(notices, mail.KindEmailFactorOff)
			}
			if err = account.DeleteAuthenticator(ctx, q, who.AID); err == nil || errors.Is(err, account.ErrNoAuthenticator) {
				err = account.SetEmailFactor(ctx, q, who, false)
			}
		}
		if err != nil {
			return err
		}
		// As when the account does it: whoever is locked out by this hears of it.
		for _, kind := range notices {
			if who.Email == "" {
				break
			}
			note := mail.Note{Kind: kind, Lang: mail.Match("", t.Settings.MailLanguage), Handle: who.Handle}
			if err := a.outbox.Put(ctx, q, t, who.AID, who.Email, note, factorNoticeLife); err != nil {
				return err
			}
		}
		return audit.Insert(ctx, q, audit.Entry{At: now, Who: by.Name, Action: "account second-factor", Subject: who.DID, Outcome: audit.Done},
			int16(by.Role), map[string]string{"change": what})
	})
	if err == nil && c.App {
		fmt.Println(made.URI)
	}
	if err == nil {
		for _, code := range codes {
			fmt.Println(code)
		}
	}
	return err
}

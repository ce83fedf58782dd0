package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Create an account with a new did:plc; no invite code is needed."`
}

type accountCreateCmd struct {
	dataFlags
	originFlags
	Dev      bool   `help:"The deployment is a development server: use its built-in PLC directory."`
	PLCURL   string `name:"plc-url" placeholder:"URL" help:"PLC directory." default:"https://plc.directory" env:"LOCUS_PLC_URL"`
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Handle   string `arg:"" help:"Handle under one of the tenant's handle domains."`
	Email    string `required:"" help:"Address of the account's owner."`
	Password string `required:"" help:"Password; '-' reads one line from standard input."`
	JSON     bool   `help:"Print JSON."`
}

func (c *accountCreateCmd) Run(ctx context.Context, log *slog.Logger) error {
	password, err := secretArgument(c.Password, os.Stdin)
	if err != nil {
		return err
	}
	if password == "" {
		return errors.New("the password is empty")
	}
	d, stop, err := c.open(ctx, log, db.Config{Log: log})
	if err != nil {
		return err
	}
	defer stop()
	keys, err := c.keys(log)
	if err != nil {
		return err
	}
	origin := c.originFlags.config()
	origin.Dev = origin.Dev || c.Dev
	client := identity.NewHTTPClient(identity.Policy{AllowLoopback: c.Dev})
	defer client.CloseIdleConnections()
	resolver := identity.ResolverConfig{Now: time.Now, Log: log, HTTP: client, PLC: identity.NewPLCClient(c.PLCURL, client)}
	if c.Dev {
		resolver.PLC = plcdir.New(d, time.Now, false)
	}
	a := assemble(d, keys, origin, resolver, outbox.Config{}, log)
	defer a.close()
	t, err := a.tenants.Get(ctx, c.Hostname)
	if err != nil {
		return explainTenant(err)
	}
	code := ""
	if t.Settings.InviteRequired() {
		code = account.NewInviteCode(t.Hostname)
		err := d.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
			return account.InsertInvite(ctx, q, time.Now(), code, 1, account.InviteAdmin, account.InviteAdmin)
		})
		if err != nil {
			return fmt.Errorf("invite code: %w", err)
		}
	}
	var made struct {
		DID    string `json:"did"`
		Handle string `json:"handle"`
	}
	_, err = a.call(ctx, c.Hostname, http.MethodPost, "com.atproto.server.createAccount", map[string]string{
		"handle": c.Handle, "email": c.Email, "password": password, "inviteCode": code,
	}, &made)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, made)
	}
	fmt.Printf("%s  %s\n", made.DID, made.Handle)
	return nil
}

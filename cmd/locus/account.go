package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/auroralocus/locus/internal/account"
)

type accountCmd struct {
	Create        accountCreateCmd    `cmd:"" help:"Create an account with a new did:plc, whatever the sign-up policy: no invite code, no approval."`
	List          accountListCmd      `cmd:"" help:"List a tenant's accounts, oldest first, or find some."`
	Info          accountInfoCmd      `cmd:"" help:"Show what is known of an account."`
	Takedown      accountTakedownCmd  `cmd:"" help:"Take an account, a record (at:// URI) or a blob (DID/CID) down."`
	Untakedown    accountRestoreCmd   `cmd:"" help:"Bring an account, a record or a blob back."`
	Delete        accountDeleteCmd    `cmd:"" help:"Delete an account for good, at once."`
	Undelete      accountUndeleteCmd  `cmd:"" help:"Keep a deactivated account that is to be deleted at a date."`
	Email         accountEmailCmd     `cmd:"" help:"Show an account's mail address, or give it another."`
	Handle        accountHandleCmd    `cmd:"" help:"Show an account's handle, or give it another."`
	Invites       accountInvitesCmd   `cmd:"" help:"Show an account's invite codes, or say whether it may have some."`
	ResetPassword accountPasswordCmd  `cmd:"" help:"Set an account's password, and end its sessions."`
	SecondFactor  accountFactorCmd    `cmd:"" help:"Show an account's second factors, or change them."`
	Apps          accountAppsCmd      `cmd:"" help:"List the apps that may act for an account, or end what they may."`
	RecordLimits  accountLimitsCmd    `cmd:"" help:"Give one account limits of its own on the number and size of its records."`
	RotateKey     accountRotateKeyCmd `cmd:"" help:"Give an account a new signing key: DID document, key and a newly signed commit."`
}

type accountCreateCmd struct {
	appFlags
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
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	var made struct {
		DID    string `json:"did"`
		Handle string `json:"handle"`
	}
	made.DID, made.Handle, err = a.acts.CreateAccount(ctx, t, byCommand(), account.Request{Handle: c.Handle, Email: c.Email, Password: &password})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, made)
	}
	return printed("%s  %s\n", made.DID, made.Handle)
}

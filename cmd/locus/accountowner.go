package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

type accountUndeleteCmd struct {
	accountArgs
	Activate bool `help:"Also show the account again, at once. Without it the owner does so, by signing in."`
}

func (*accountUndeleteCmd) Help() string {
	return "Of a deactivated account that is to be deleted at a date ('deleteAfter', three days away at least) this takes the date away, up to the moment at which the server deletes it. 'locus account info' shows the date. " +
		"An account that is deleted, by its owner with password and mailed code or by 'locus account delete', is gone at once and cannot be brought back by this: only a backup of the tenant has it (docs/backup.md)."
}

func (c *accountUndeleteCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if errors.Is(err, errNoSuchAccount) {
		return fmt.Errorf("%w. What is deleted is gone at once: only a backup of the tenant has it (docs/backup.md)", err)
	}
	if err != nil {
		return err
	}
	defer stop()
	err = a.acts.KeepAccount(ctx, t, byCommand(), who.DID, c.Activate)
	if c.Activate && errors.Is(err, act.ErrGone) {
		return fmt.Errorf("%s is taken down, and cannot be activated: without --activate it keeps the account, and 'locus account untakedown' comes first otherwise", who.DID)
	}
	if err != nil {
		return err
	}
	state := "stays deactivated: its owner may come back"
	if c.Activate {
		state = "is active again"
	}
	return c.say(outcome{"did": who.DID, "deleteAfter": nil, "active": c.Activate}, "%s is not going to be deleted, and %s", who.DID, state)
}

type accountEmailCmd struct {
	accountArgs
	Set string `placeholder:"ADDRESS" help:"The account's new address."`
}

func (*accountEmailCmd) Help() string {
	return "Without --set: the address, and whether its owner has confirmed it. A new one is not confirmed, codes that were mailed to the old one are worthless, and nobody is told by mail: tell the owner. Domains that the tenant refuses at sign-up are taken here."
}

func (c *accountEmailCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if c.Set == "" {
		state := "not confirmed"
		if who.EmailConfirmed {
			state = "confirmed"
		}
		if who.Email == "" {
			state = "has no address"
		}
		return c.say(outcome{"did": who.DID, "email": who.Email, "confirmed": who.EmailConfirmed, "codesByMail": who.EmailFactor}, "%s  %s  %s", who.DID, who.Email, state)
	}
	if err := a.acts.SetEmail(ctx, t, byCommand(), who.DID, c.Set); err != nil {
		return err
	}
	a.actors.Forget(t.Schema, who.DID)
	if who, err = findAccount(ctx, a, t, who.DID); err != nil {
		return err
	}
	return c.say(outcome{"did": who.DID, "email": who.Email, "confirmed": who.EmailConfirmed, "codesByMail": who.EmailFactor}, "%s has the address %s, which its owner has not confirmed yet", who.DID, who.Email)
}

type accountHandleCmd struct {
	accountArgs
	Set string `placeholder:"HANDLE" help:"The account's new handle: under one of the tenant's handle domains, or a domain whose DNS or web server leads to the account's DID."`
}

func (*accountHandleCmd) Help() string {
	return "Without --set: the handle. A new one goes into the DID document first (for did:plc at the directory), then into the database, and subscribers hear of it. Names that the tenant keeps from sign-ups may be given here. The same handle again has the document and the network look again."
}

func (c *accountHandleCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if c.Set == "" {
		handle := who.Handle
		if handle == "" {
			handle = "has no handle"
		}
		return c.say(outcome{"did": who.DID, "handle": who.Handle}, "%s  %s", who.DID, handle)
	}
	err = a.acts.ChangeHandle(ctx, t, byCommand(), who.DID, c.Set)
	switch {
	case errors.Is(err, act.ErrHandleElsewhere):
		return fmt.Errorf("%w: let https://%s/.well-known/atproto-did, or the TXT record of _atproto.%s as did=…, say %s", err, c.Set, c.Set, who.DID)
	case errors.Is(err, act.ErrDocumentHandle):
		return fmt.Errorf("%w: put at://%s into alsoKnownAs of %s, and run this command again", err, c.Set, who.DID)
	case err != nil:
		return err
	}
	before := who.Handle
	if who, err = findAccount(ctx, a, t, who.DID); err != nil {
		return err
	}
	return c.say(outcome{"did": who.DID, "handle": who.Handle, "before": before}, "%s has the handle %s", who.DID, who.Handle)
}

type accountInvitesCmd struct {
	accountArgs
	Enable   bool   `xor:"how" help:"Let the account have invite codes."`
	Disable  bool   `xor:"how" help:"Give the account no new codes. Those that it has stay good."`
	EndCodes bool   `help:"Make all codes of the account worthless; accounts that signed up with them stay."`
	Note     string `help:"With --enable or --disable: the reason, which 'locus account info' shows."`
}

func (*accountInvitesCmd) Help() string {
	return "Without a flag: whether the account may have codes, and the codes, oldest first. 'locus invite create HOST --for DID' gives it some. --disable with --end-codes is what to do about somebody who brings spammers."
}

func (c *accountInvitesCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Note != "" && !c.Enable && !c.Disable {
		return errors.New("--note goes with --enable or --disable")
	}
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	disabled := who.InvitesDisabled
	if c.Enable || c.Disable {
		if err := a.acts.SetInvites(ctx, t, byCommand(), who.DID, c.Disable, c.Note); err != nil {
			return err
		}
		disabled = c.Disable
	}
	if c.EndCodes {
		if err := a.acts.DisableInvites(ctx, t, byCommand(), nil, []string{who.DID}); err != nil {
			return err
		}
	}
	may := "may have invite codes"
	if disabled {
		may = "gets no new invite codes"
	}
	if c.Enable || c.Disable || c.EndCodes {
		if c.EndCodes {
			may += ", and those it had are worthless"
		}
		return c.say(outcome{"did": who.DID, "invitesDisabled": disabled, "codesEnded": c.EndCodes}, "%s %s", who.DID, may)
	}
	theirs, err := account.InvitesFor(ctx, a.db.Tenant(t.Schema).Q(), []string{who.DID})
	if err != nil {
		return err
	}
	codes := append([]account.Invite{}, theirs[who.DID]...)
	if c.JSON {
		return printJSON(os.Stdout, outcome{"did": who.DID, "invitesDisabled": disabled, "codes": codes})
	}
	fmt.Printf("%s %s; it has %d\n", who.DID, may, len(codes))
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for i := range codes {
		fmt.Fprintf(out, "%s\t%s\t%d/%d used\t%s\n", codes[i].Code, inviteState(&codes[i]), codes[i].Total-codes[i].Left, codes[i].Total, codes[i].CreatedAt.UTC().Format(time.DateOnly))
	}
	return out.Flush()
}

// inviteState is a code's state in one word or two.
func inviteState(code *account.Invite) string {
	switch {
	case code.Disabled:
		return "disabled"
	case code.Left == 0:
		return "used up"
	}
	return "open"
}

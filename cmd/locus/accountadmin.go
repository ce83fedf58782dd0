package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

// accountArgs name one account of a tenant.
type accountArgs struct {
	appFlags
	jsonFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Account  string `arg:"" help:"DID, handle or mail address."`
}

// findAccount is the account with a DID, handle or mail address.
func findAccount(ctx context.Context, a *app, t *tenant.Tenant, identifier string) (*account.Account, error) {
	found, err := account.ByIdentifier(ctx, a.db.Tenant(t.Schema).Q(), identifier)
	if errors.Is(err, account.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s", errNoSuchAccount, identifier)
	}
	return found, err
}

// account assembles the server's parts and finds the account that the arguments name.
func (c *accountArgs) account(ctx context.Context, log *slog.Logger) (*app, *tenant.Tenant, *account.Account, func(), error) {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	who, err := findAccount(ctx, a, t, c.Account)
	if err != nil {
		stop()
		return nil, nil, nil, nil, err
	}
	return a, t, who, stop, nil
}

type accountListCmd struct {
	appFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Find     string `arg:"" optional:"" help:"Only accounts whose address or handle contains this, or whose DID it is."`
	Limit    int    `help:"Most accounts to print; 0: all." default:"0"`
	JSON     bool   `help:"Print one JSON object a line."`
}

func (c *accountListCmd) Run(ctx context.Context, log *slog.Logger) (err error) {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer func() {
		if lost := out.Flush(); err == nil {
			err = lost
		}
	}()
	for after, n := int64(0), 0; ; {
		page, err := account.Search(ctx, a.db.Tenant(t.Schema).Q(), account.Identifier(c.Find), true, after, 500)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if c.Limit > 0 && n == c.Limit {
				return nil
			}
			n++
			if c.JSON {
				if err := printJSONLine(page[i]); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", page[i].DID, page[i].Handle, page[i].Status(), page[i].CreatedAt.UTC().Format(time.DateOnly), page[i].Email)
		}
		after = page[len(page)-1].AID
	}
}

type accountInfoCmd struct {
	accountArgs
}

func (c *accountInfoCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	info, err := readAccount(ctx, a, t, who)
	if err != nil {
		return err
	}
	return printJSON(os.Stdout, info)
}

// accountReport is what 'account info' prints.
type accountReport struct {
	account.Info
	IndexedAt   time.Time        `json:"indexedAt"`
	Invites     []account.Invite `json:"invites"`
	InvitedBy   *account.Invite  `json:"invitedBy,omitempty"`
	Takedown    act.Mark         `json:"takedown"`
	Deactivated act.Mark         `json:"deactivated"`
	Usage       usageReport      `json:"usage"`
}

func readAccount(ctx context.Context, a *app, t *tenant.Tenant, who *account.Account) (*accountReport, error) {
	q := a.db.Tenant(t.Schema).Q()
	infos, err := account.Infos(ctx, q, []string{who.DID})
	if err != nil {
		return nil, err
	}
	if len(infos) == 0 {
		return nil, fmt.Errorf("%w: %s", errNoSuchAccount, who.DID)
	}
	r := &accountReport{Info: infos[0], IndexedAt: infos[0].CreatedAt}
	theirs, err := account.InvitesFor(ctx, q, []string{who.DID})
	if err != nil {
		return nil, err
	}
	r.Invites = append([]account.Invite{}, theirs[who.DID]...)
	if r.InviteCode != "" {
		by, err := account.InvitesByCode(ctx, q, []string{r.InviteCode})
		if err != nil {
			return nil, err
		}
		if used, ok := by[r.InviteCode]; ok {
			r.InvitedBy = &used
		}
	}
	if r.Usage, err = readUsage(ctx, a, t, who.AID); err != nil {
		return nil, err
	}
	state, err := account.StateOf(ctx, q, who.DID)
	r.Takedown = act.Mark{Applied: state.Takedown.Applied, Ref: state.Takedown.Ref}
	r.Deactivated = act.Mark{Applied: state.Deactivated}
	return r, err
}

// subjectArgs name an account, a record or a blob.
type subjectArgs struct {
	appFlags
	jsonFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Subject  string `arg:"" help:"Account (DID, handle or mail address), record (at:// URI with a DID) or blob (DID/CID)."`
}

// apply sets the subject's takedown.
func (c *subjectArgs) apply(ctx context.Context, log *slog.Logger, applied bool, ref string) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	takedown := &act.Mark{Applied: applied, Ref: ref}
	subject := c.Subject
	if strings.HasPrefix(c.Subject, "at://") {
		err = a.acts.SetRecordStatus(ctx, t, byCommand(), c.Subject, takedown)
	} else if did, cid, ok := strings.Cut(c.Subject, "/"); ok {
		err = a.acts.SetBlobStatus(ctx, t, byCommand(), did, cid, takedown)
	} else {
		var who *account.Account
		if who, err = findAccount(ctx, a, t, c.Subject); err == nil {
			subject, err = who.DID, a.acts.SetAccountStatus(ctx, t, byCommand(), who.DID, takedown, nil)
		}
	}
	if err != nil {
		return err
	}
	what := "taken down"
	if !applied {
		what = "not taken down any more"
	}
	return c.say(outcome{"subject": subject, "takenDown": applied}, "%s is %s", subject, what)
}

type accountTakedownCmd struct {
	subjectArgs
	Ref string `help:"Reference of the decision; its time without one."`
}

func (c *accountTakedownCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.apply(ctx, log, true, c.Ref)
}

type accountRestoreCmd struct {
	subjectArgs
}

func (c *accountRestoreCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.apply(ctx, log, false, "")
}

type accountDeleteCmd struct {
	accountArgs
	Yes bool `required:"" help:"Yes, for good."`
}

func (c *accountDeleteCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if err := a.acts.DeleteAccount(ctx, t, byCommand(), who.DID); err != nil {
		return err
	}
	return c.say(outcome{"did": who.DID, "deleted": true}, "%s is deleted", who.DID)
}

type accountPasswordCmd struct {
	accountArgs
	Password string `help:"The new password; '-' reads one line from standard input. Without it one is made and printed."`
}

func (c *accountPasswordCmd) Run(ctx context.Context, log *slog.Logger) error {
	password, err := secretArgument(c.Password, os.Stdin)
	if err != nil {
		return err
	}
	made := password == ""
	if made {
		password = rand.Text()
	}
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if err := a.acts.SetPassword(ctx, t, byCommand(), who.DID, password); err != nil {
		return err
	}
	if made { // the line is the password alone, for scripts that take it
		return c.say(outcome{"did": who.DID, "password": password}, "%s", password)
	}
	return c.say(outcome{"did": who.DID}, "%s has a new password, and its sessions have ended", who.DID)
}

type accountRotateKeyCmd struct {
	accountArgs
}

func (c *accountRotateKeyCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	key, err := a.acts.RotateSigningKey(ctx, t, byCommand(), who.DID)
	if errors.Is(err, act.ErrDocumentKey) {
		return fmt.Errorf("%w: put %s into it as the key #atproto, and run this command again", err, key)
	}
	if err != nil {
		return err
	}
	return c.say(outcome{"did": who.DID, "key": key}, "%s", key)
}

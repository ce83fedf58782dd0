package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

// mailFlags are the deployment's mail server, for tenants that have none of their own.
type mailFlags struct {
	SMTPURL  string `name:"smtp-url" placeholder:"URL" help:"Mail server: smtp://user:password@host:587 or smtps://…; tenants may have their own (locus tenant smtp). Without one mail waits and is given up when its token has expired; with --dev it is written to the log." env:"LOCUS_SMTP_URL"`
	MailFrom string `placeholder:"ADDR" help:"Sender of mail of tenants that set no mail_from. Default: noreply@ and the tenant's hostname." env:"LOCUS_MAIL_FROM"`
}

func (f mailFlags) config(dev bool) (outbox.Config, error) {
	c := outbox.Config{From: f.MailFrom, ShowText: dev}
	if f.SMTPURL == "" {
		return c, nil
	}
	var err error
	if c.Server, err = mail.ParseServer(f.SMTPURL); err != nil {
		return c, fmt.Errorf("--smtp-url: %w", err)
	}
	return c, nil
}

type tenantSMTPCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	URL      string `arg:"" help:"smtp://user:password@host:587 or smtps://…; '-' reads one line from standard input, an empty argument goes back to the deployment's server."`
}

func (c *tenantSMTPCmd) Run(ctx context.Context, log *slog.Logger) error {
	url := c.URL
	if url != "" {
		var err error
		if url, err = secretArgument(url, os.Stdin); err != nil {
			return err
		}
	}
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	if err := t.acts.SetSMTP(ctx, t.Tenant, byCommand(), url); err != nil {
		return explainTenant(err)
	}
	what := "the deployment's mail server"
	if url != "" {
		what = "a mail server of its own"
	}
	return jsonFlags{c.JSON}.say(outcome{"hostname": t.Hostname, "ownMailServer": url != ""}, "%s has %s", t.Hostname, what)
}

type mailCmd struct {
	List mailListCmd `cmd:"" help:"List a tenant's mail of the last week, newest first: what waits, what was sent, what was given up and why."`
	Try  mailTryCmd  `cmd:"" help:"Send a test message by the tenant's mail server, now, and show what the server says."`
}

type mailListCmd struct {
	appFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Failed   bool   `help:"Only what was given up."`
	Limit    int    `help:"How many at most." default:"100"`
	JSON     bool   `help:"Print one JSON object a line."`
}

func (*mailListCmd) Help() string {
	return "A line has: when it was queued, what became of it, attempts, what it is about, to whom, its subject, and the last error. Codes and texts are sealed while a message waits, and gone when it is done: nobody is shown them. Messages that an older version queued have neither kind ('-') nor subject."
}

func (c *mailListCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Limit < 1 || c.Limit > 100_000 {
		return fmt.Errorf("--limit must be between 1 and 100000")
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	list, err := outbox.List(ctx, a.db.Tenant(t.Schema).Q(), c.Failed, c.Limit)
	if err != nil {
		return err
	}
	for _, e := range list {
		if c.JSON {
			err = printJSONLine(e)
		} else {
			_, err = fmt.Printf("%s  %-17s %3d  %-16s %-40s %q  %s\n", e.CreatedAt.UTC().Format("2006-01-02 15:04:05"), e.State, e.Attempts, cmp.Or(e.Kind, "-"), e.To, e.Subject, e.LastError)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type mailTryCmd struct {
	appFlags
	jsonFlags
	mailFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	To       string `arg:"" help:"Address to send to."`
}

func (c *mailTryCmd) Run(ctx context.Context, log *slog.Logger) error {
	post, err := c.mailFlags.config(false)
	if err != nil {
		return err
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	note := mail.Note{Kind: mail.KindMessage, Lang: t.Settings.MailLanguage, Subject: "Test", Text: "Mail of " + t.Hostname + " arrives."}
	if err := outbox.New(a.db, a.keys, a.tenants, post, time.Now, log).Try(ctx, t, c.To, note); err != nil {
		return err
	}
	return c.say(outcome{"to": c.To, "taken": true}, "The mail server took the message to %s. Whether it arrives is for SPF, DKIM and the receiver to say.", c.To)
}

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
)

type doctorCmd struct {
	dataFlags
	originFlags
	outsideFlags
	mailFlags
	servicesFlags
	dkimFlags
	jsonFlags
	Tenant  string `placeholder:"HOST" help:"Look at this tenant only; default: all."`
	Account string `placeholder:"HANDLE|DID" help:"Look at this account of the tenant, too: why its posts do not appear."`
	Strict  bool   `help:"Exit code 1 where there are warnings only."`
	Last    bool   `help:"Do not look: show what the servers' own doctor found when it looked last."`
}

// exitCode ends the program with a code of its own: what there is to say was printed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// doctorJSON is the form that scripts read.
type doctorJSON struct {
	Worst  doctor.Severity `json:"worst"` // error, warning or empty
	Checks []doctor.Result `json:"checks"`
	Last   *doctor.Last    `json:"last,omitempty"` // with --last: when it was, and by whom; its results are the checks
}

// Run looks and prints. It makes no key, migrates nothing and notes nothing, unlike commands that work.
func (c *doctorCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Account != "" && c.Tenant == "" {
		return fmt.Errorf("--account needs --tenant: whose account it is")
	}
	if c.Last && c.Tenant != "" {
		return fmt.Errorf("--last shows what was found of the whole deployment: leave out --tenant")
	}
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return c.tell(doctor.Examine(ctx, doctor.DeploymentChecks(doctor.Deployment{Now: time.Now, Facts: func(context.Context) (db.Facts, error) { return db.Facts{}, err }})[:1], doctor.CheckTime, nil), nil)
	}
	defer stop()
	if c.Last {
		return c.last(ctx, d)
	}
	x, end, err := c.checkup(ctx, d, log)
	if err != nil {
		return err
	}
	defer end()
	checks, err := x.checks(ctx, c.Tenant, c.Account)
	if err != nil {
		return err
	}
	p := newProgress()
	results := doctor.Examine(ctx, checks, doctor.CheckTime, func(done, total int) { p.show("looking", int64(done), int64(total)) })
	p.end()
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.tell(results, nil)
}

// checkup is what the doctor is handed of this command's.
func (c *doctorCmd) checkup(ctx context.Context, d *db.DB, log *slog.Logger) (x checkup, end func(), err error) {
	facts, noted, err := tenant.ReadDeployment(ctx, d)
	if err == nil && !noted {
		facts, err = c.guess(ctx, d, c.dataFlags, false)
	}
	if err != nil {
		return x, nil, err
	}
	net, err := c.reach(facts, d, log)
	if err != nil {
		return x, nil, err
	}
	documents := identity.NewResolver(net.resolver)
	x = checkup{db: d, facts: facts, net: net, documents: documents, data: c.dataFlags, selectors: c.selectors(), said: c.agree(facts)}
	if x.post, err = c.mailFlags.config(facts.Development); err != nil {
		documents.Close()
		net.close()
		return x, nil, err
	}
	if x.services, err = c.services(facts.Development); err != nil {
		documents.Close()
		net.close()
		return x, nil, err
	}
	x.keys, x.keyErr = c.held(ctx, d, log)
	x.tenants = tenant.NewRegistry(d, x.keys, facts.Config(c.DevNames), time.Now, log)
	if x.keyErr == nil {
		quiet := slog.New(slog.DiscardHandler) // what is wrong is a finding
		x.outbox = outbox.New(d, x.keys, x.tenants, x.post, time.Now, quiet)
		x.blobs = blob.New(d, x.keys, time.Now, quiet, c.blobs())
	}
	return x, func() {
		if x.blobs != nil {
			x.blobs.Close()
		}
		documents.Close()
		net.close()
	}, nil
}

// held is the master key that there is, if the deployment uses it: none is made.
func (c *doctorCmd) held(ctx context.Context, d *db.DB, log *slog.Logger) (*keyring.Keyring, error) {
	master, err := c.given(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(master, signerCacheBytes)
	if err != nil {
		return nil, err
	}
	_, err = act.NewMasterKeys(act.NewTenantActs(d, nil, time.Now), keys, nil, 0, log).Adopt(ctx, false)
	return keys, err
}

// last shows what a server found.
func (c *doctorCmd) last(ctx context.Context, d *db.DB) error {
	if err := d.CheckControl(ctx); err != nil {
		return err
	}
	last, never, err := doctor.ReadLast(ctx, d)
	if err != nil {
		return err
	}
	if never {
		return fmt.Errorf("no server has looked yet: they do so each night, and half an hour after the first start; 'locus doctor' looks now")
	}
	results := last.Results
	last.Results = nil
	if !c.JSON {
		fmt.Printf("looked at %s by %s: %d things\n", last.EndedAt.UTC().Format(time.RFC3339), last.LookedBy, last.Checks)
		if last.TellError != "" {
			fmt.Printf("the operator could not be written to: %s\n", last.TellError)
		}
	}
	return c.tell(results, &last)
}

// tell prints, and gives the exit code as an error.
func (c *doctorCmd) tell(results []doctor.Result, last *doctor.Last) error {
	worst := doctor.Worst(results)
	var err error
	if c.JSON {
		err = printJSON(os.Stdout, doctorJSON{worst, results, last})
	} else {
		err = printDoctor(os.Stdout, results)
	}
	switch {
	case err != nil:
		return err
	case worst == doctor.Error:
		return exitCode(2)
	case worst == doctor.Warning && c.Strict:
		return exitCode(1)
	}
	return nil
}

// printDoctor prints what was looked at, by group, and then what was found.
func printDoctor(w io.Writer, results []doctor.Result) error {
	var text strings.Builder
	group, n, blind := "", 0, 0
	for _, r := range results {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&text, "%s\n", group)
		}
		state := "well"
		about := r.About
		if r.NotLookedAt != "" {
			state, about = "not looked at", about+": "+r.NotLookedAt
			blind++
		}
		if len(r.Findings) > 0 {
			state = fmt.Sprintf("%d found", len(r.Findings))
		}
		n += len(r.Findings)
		fmt.Fprintf(&text, "  %-17s %-13s %s\n", r.Name, state, about)
	}
	switch {
	case n == 0 && blind == 0:
		text.WriteString("\nnothing is wrong\n")
	case n == 0:
		fmt.Fprintf(&text, "\nnothing is wrong in what was looked at; %d checks could not look at all that they are for\n", blind)
	}
	for _, r := range results {
		for _, f := range r.Findings {
			fmt.Fprintf(&text, "\n%s: %s: %s (%s)\n  seen:  %s\n  to do: %s\n", f.Severity, r.Group, f.Wrong, f.Name, f.Seen, f.Do)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

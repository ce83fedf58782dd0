package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
)

type doctorCmd struct {
	dataFlags
	originFlags
	outsideFlags
	jsonFlags
	Tenant  string `placeholder:"HOST" help:"Look at this tenant only; default: all."`
	Account string `placeholder:"HANDLE|DID" help:"Look at this account of the tenant, too: why its posts do not appear."`
	Strict  bool   `help:"Exit code 1 where there are warnings only."`
}

// exitCode ends the program with a code of its own: what there is to say was printed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// doctorJSON is the form that scripts read.
type doctorJSON struct {
	Worst  doctor.Severity `json:"worst"` // error, warning or empty
	Checks []doctor.Result `json:"checks"`
}

// Run looks and prints. It makes no key, migrates nothing and notes nothing, unlike commands that work.
func (c *doctorCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Account != "" && c.Tenant == "" {
		return fmt.Errorf("--account needs --tenant: whose account it is")
	}
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return c.tell(doctor.Examine(ctx, doctor.DeploymentChecks(doctor.Deployment{Now: time.Now, Facts: func(context.Context) (db.Facts, error) { return db.Facts{}, err }})[:1], doctor.CheckTime, nil))
	}
	defer stop()
	checks, end, err := c.checks(ctx, d, log)
	if err != nil {
		return err
	}
	defer end()
	p := newProgress()
	results := doctor.Examine(ctx, checks, doctor.CheckTime, func(done, total int) { p.show("looking", int64(done), int64(total)) })
	p.end()
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.tell(results)
}

// checks are those that were asked for.
func (c *doctorCmd) checks(ctx context.Context, d *db.DB, log *slog.Logger) (_ []doctor.Check, end func(), err error) {
	facts, noted, err := tenant.ReadDeployment(ctx, d)
	if err == nil && !noted {
		facts, err = c.guess(ctx, d, c.dataFlags, false)
	}
	if err != nil {
		return nil, nil, err
	}
	net, err := c.reach(facts, d, log)
	if err != nil {
		return nil, nil, err
	}
	documents := identity.NewResolver(net.resolver)
	end = func() { documents.Close(); net.close() }
	keys, keyErr := c.given()
	r := tenant.NewRegistry(d, keys, facts.Config(c.DevNames), time.Now, log)
	checks := doctor.DeploymentChecks(c.deployment(d, r, keyErr))
	out := doctor.Outside{HTTP: net.client, DNS: net.resolver.DNS, Now: time.Now}
	list, err := r.List(ctx)
	if c.Tenant != "" && err == nil {
		var t *tenant.Tenant
		t, err = r.Get(ctx, c.Tenant)
		list = []*tenant.Tenant{t}
	}
	if err != nil {
		end()
		return nil, nil, explainTenant(err)
	}
	for _, t := range list {
		h := doctorHost(d, t, facts.Development)
		if t.State != tenant.Active || t.Usable() != nil {
			checks = append(checks, doctor.NotServed(t.Hostname, cmp.Or(t.Usable(), fmt.Errorf("it is suspended, deleted, moved or made at this moment"))))
			continue
		}
		checks = append(checks, doctor.HostChecks(h, out)...)
		if c.Account != "" {
			a, err := doctorAccount(ctx, d.Tenant(t.Schema).Q(), c.Account)
			if err != nil {
				end()
				return nil, nil, err
			}
			checks = append(checks, doctor.AccountChecks(a, h, out, documents, net.resolver.PLC)...)
		}
	}
	return checks, end, nil
}

func (c *doctorCmd) deployment(d *db.DB, r *tenant.Registry, keyErr error) doctor.Deployment {
	var folders []string
	if _, err := os.Stat(c.DataDir); err == nil {
		folders = append(folders, c.DataDir)
	}
	if folder, ok := strings.CutPrefix(c.BlobStore, "disk:"); ok {
		folders = append(folders, folder)
	}
	return doctor.Deployment{
		Now: time.Now, Folders: folders, Facts: d.ServerFacts,
		Behind: func(ctx context.Context) (int64, error) {
			if err := d.CheckControl(ctx); err != nil {
				return 0, err
			}
			latest, err := db.LatestTenantVersion()
			if err != nil {
				return 0, err
			}
			return d.Control().CountTenantsBehind(ctx, latest)
		},
		Keys: func(ctx context.Context) error {
			if keyErr != nil {
				return keyErr
			}
			return r.KeyFits(ctx)
		},
	}
}

// given is the master key that there is: none is made.
func (c *doctorCmd) given() (*keyring.Keyring, error) {
	master, err := keyring.LoadMaster(c.masterFile())
	if c.MasterKey != "" {
		master, err = keyring.ParseMaster(c.MasterKey)
	}
	if err != nil {
		return nil, err
	}
	return keyring.New(master, signerCacheBytes)
}

func doctorHost(d *db.DB, t *tenant.Tenant, development bool) doctor.Host {
	return doctor.Host{
		Hostname: t.Hostname, PublicURL: t.PublicURL, ServiceDID: t.ServiceDID, HandleDomains: t.HandleDomains,
		Crawlers: t.Settings.Crawlers, HasStream: t.HasStream(), Development: development,
		LastSeq: func(ctx context.Context) (int64, error) { return d.Tenant(t.Schema).Q().GetLastSeq(ctx) },
	}
}

func doctorAccount(ctx context.Context, q *tenantdb.Queries, name string) (a doctor.Account, err error) {
	var row tenantdb.GetActorStatusRow
	if strings.HasPrefix(name, "did:") {
		row, err = q.GetActorStatus(ctx, name)
	} else {
		var by tenantdb.GetActorStatusByHandleRow
		by, err = q.GetActorStatusByHandle(ctx, strings.ToLower(strings.TrimPrefix(name, "@")))
		row = tenantdb.GetActorStatusRow(by)
	}
	if db.IsNoRows(err) {
		return a, fmt.Errorf("%s: %w", name, errNoSuchAccount)
	}
	if err != nil {
		return a, err
	}
	a = doctor.Account{DID: row.DID, Deactivated: row.DeactivatedAt != nil, TakenDown: row.TakedownRef != nil}
	if row.Handle != nil {
		a.Handle = *row.Handle
	}
	if row.HeadRev > 0 {
		a.Rev = repo.TID(row.HeadRev).String()
	}
	key, err := q.GetSigningKey(ctx, row.AID)
	if err != nil && !db.IsNoRows(err) {
		return a, err
	}
	a.SigningKey = key.Public
	return a, nil
}

// tell prints, and gives the exit code as an error.
func (c *doctorCmd) tell(results []doctor.Result) error {
	worst := doctor.Worst(results)
	var err error
	if c.JSON {
		err = printJSON(os.Stdout, doctorJSON{worst, results})
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
	group, n := "", 0
	for _, r := range results {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&text, "%s\n", group)
		}
		state := "well"
		if len(r.Findings) > 0 {
			state = fmt.Sprintf("%d found", len(r.Findings))
		}
		n += len(r.Findings)
		fmt.Fprintf(&text, "  %-17s %-8s %s\n", r.Name, state, r.About)
	}
	if n == 0 {
		text.WriteString("\nnothing is wrong\n")
	}
	for _, r := range results {
		for _, f := range r.Findings {
			fmt.Fprintf(&text, "\n%s: %s: %s (%s)\n  seen:  %s\n  to do: %s\n", f.Severity, r.Group, f.Wrong, f.Name, f.Seen, f.Do)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

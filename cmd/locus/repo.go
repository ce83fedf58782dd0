package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

type repoCmd struct {
	Check repoCheckCmd `cmd:"" help:"Prove repositories: the tree rebuilt from the records has the signed root, every stored node belongs to it, the signature is the account's, the events chain. Exit status 1 when anything is wrong."`
}

type repoCheckCmd struct {
	dataFlags
	originFlags
	manyFlags
	Repo    string `arg:"" optional:"" help:"DID or handle of one account; all of the tenant's without it."`
	JSON    bool   `help:"Print JSON, one object a line: a repository each, and the event stream; with --all one for each tenant."`
	Recount bool   `help:"First count the records of each again, and the tenant's sum: after a check found counters wrong, or after two versions ran side by side of which the older knew no counters."`
}

// errProblems makes the exit status tell what the output has told already.
var errProblems = errors.New("repositories have problems")

func (*repoCheckCmd) Help() string {
	return "Reads every record of what it checks, and changes nothing but with --recount. Tenants serve meanwhile. With --all only tenants with problems have a line, with the first of them; the command with their name prints every repository."
}

func (c *repoCheckCmd) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.oneOrAll(); err != nil {
		return err
	}
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	facts, err := c.facts(ctx, d, c.dataFlags, false)
	if err != nil {
		return err
	}
	keys, err := c.keys(ctx, d, log)
	if err != nil {
		return err
	}
	r := tenant.NewRegistry(d, keys, facts.Config(c.DevNames), time.Now, log)
	store := repodb.New(d, keys, time.Now, log, repodb.Config{})
	defer store.Close()
	acts := act.NewTenantActs(d, r, time.Now)
	if c.All {
		return c.walk(ctx, r, c.JSON, "checking repositories", func(ctx context.Context, t *tenant.Tenant, p *progress) error {
			return c.checkOne(ctx, store, acts, t, p)
		})
	}
	t, err := r.Get(ctx, c.Hostname)
	if err == nil {
		t, err = r.Ready(ctx, t)
	}
	if err != nil {
		return explainTenant(err)
	}
	return c.checkNamed(ctx, d, store, acts, t)
}

// checkNamed checks one tenant, and prints each repository.
func (c *repoCheckCmd) checkNamed(ctx context.Context, d *db.DB, store *repodb.Store, acts *act.TenantActs, t *tenant.Tenant) error {
	bad, n := 0, 0
	show := func(r repodb.Report) error {
		if r.AID != 0 {
			n++
		}
		if !r.OK() {
			bad++
		}
		return c.print(r)
	}
	if c.Repo != "" {
		a, err := account.NewCache(d, 0, time.Now).ByName(ctx, t.Schema, c.Repo, account.Fresh)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Repo, err)
		}
		if c.Recount {
			if err := acts.Recount(ctx, t, a.AID); err != nil {
				return err
			}
		}
		r, err := store.Check(ctx, t.Schema, a.AID)
		if err == nil {
			err = show(r)
		}
		if err != nil {
			return err
		}
	} else {
		if c.Recount {
			if err := recountAll(ctx, store, acts, t); err != nil {
				return err
			}
		}
		if err := store.CheckTenant(ctx, t.Schema, show); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%d repositories checked, %d with problems\n", n, bad)
	if bad > 0 {
		return errProblems
	}
	return nil
}

// tenantRepos is a tenant's line.
type tenantRepos struct {
	Hostname     string `json:"hostname"`
	Repositories int    `json:"repositories"`
	WithProblems int    `json:"withProblems"` // the event stream is counted as one
	First        string `json:"first,omitempty"`
}

// checkOne checks one tenant among others, and prints one line.
func (c *repoCheckCmd) checkOne(ctx context.Context, store *repodb.Store, acts *act.TenantActs, t *tenant.Tenant, p *progress) error {
	if c.Recount {
		if err := recountAll(ctx, store, acts, t); err != nil {
			return err
		}
	}
	line := tenantRepos{Hostname: t.Hostname}
	err := store.CheckTenant(ctx, t.Schema, func(r repodb.Report) error {
		of := "the event stream"
		if r.AID != 0 {
			line.Repositories++
			of = r.DID
		}
		if !r.OK() {
			line.WithProblems++
			if line.First == "" {
				line.First = of + ": " + r.Problems[0]
			}
		}
		p.show(t.Hostname+": repositories", int64(line.Repositories), 0)
		return nil
	})
	if err != nil {
		return err
	}
	p.end()
	switch {
	case c.JSON:
		err = printJSONLine(line)
	case line.WithProblems > 0:
		_, err = fmt.Printf("PROBLEMS  %s: %d of %d repositories; the first: %s\n", t.Hostname, line.WithProblems, line.Repositories, line.First)
	}
	if err == nil && line.WithProblems > 0 {
		err = errProblems
	}
	return err
}

// recountAll counts the records of all accounts, and then the tenant's sum.
func recountAll(ctx context.Context, store *repodb.Store, acts *act.TenantActs, t *tenant.Tenant) error {
	for after := int64(0); ; {
		page, err := store.ListRepos(ctx, t.Schema, after, 500)
		if err != nil {
			return err
		}
		for _, st := range page {
			if err := acts.Recount(ctx, t, st.AID); err != nil {
				return err
			}
			after = st.AID
		}
		if len(page) == 0 {
			return acts.RecountTotals(ctx, t)
		}
	}
}

// repoJSON and streamJSON are the forms that scripts read.
type repoJSON struct {
	DID      string   `json:"did"`
	Rev      string   `json:"rev"`
	Records  int      `json:"records"`
	Nodes    int      `json:"nodes"`
	Events   int      `json:"events"`
	Problems []string `json:"problems,omitzero"`
}

type streamJSON struct {
	Stream   bool     `json:"stream"`
	Problems []string `json:"problems,omitzero"`
}

func (c *repoCheckCmd) print(r repodb.Report) error {
	if c.JSON {
		if r.AID == 0 {
			return printJSONLine(streamJSON{true, r.Problems})
		}
		return printJSONLine(repoJSON{DID: r.DID, Rev: r.Rev.String(), Records: r.Records, Nodes: r.Nodes, Events: r.Events, Problems: r.Problems})
	}
	verdict := "ok"
	if !r.OK() {
		verdict = "PROBLEMS"
	}
	text := fmt.Sprintf("%-9s the event stream has no holes\n", verdict)
	if r.AID != 0 {
		text = fmt.Sprintf("%-9s %s rev %s: %d records, %d nodes, %d events\n", verdict, r.DID, r.Rev, r.Records, r.Nodes, r.Events)
	}
	for _, p := range r.Problems {
		text += fmt.Sprintf("          %s\n", p)
	}
	return printed("%s", text)
}

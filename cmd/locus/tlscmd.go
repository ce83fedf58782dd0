package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/certs"
	"github.com/auroralocus/locus/internal/tenant"
)

type tlsCmd struct {
	List   tlsListCmd   `cmd:"" help:"List the certificates that were made or are wanted."`
	Show   tlsShowCmd   `cmd:"" help:"Show by which certificate a name is served, and why there is none."`
	Renew  tlsRenewCmd  `cmd:"" help:"Have a certificate made now, for the first time or anew. A running server does it; what the authority allows is kept to."`
	Remove tlsRemoveCmd `cmd:"" help:"Forget a certificate and its key. Where its name is still a tenant's, the next visitor has one made anew."`
}

type tlsListCmd struct {
	tenantFlags
	Tenant string `placeholder:"HOSTNAME" help:"Only those of one tenant."`
	Max    int    `help:"How many at most." default:"1000"`
}

func (c *tlsListCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Max < 1 || c.Max > 100_000 {
		return errors.New("--max must be from 1 to 100000")
	}
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	var of int64
	if c.Tenant != "" {
		t, err := r.Get(ctx, c.Tenant)
		if err != nil {
			return explainTenant(err)
		}
		of = t.ID
	}
	list, err := certs.List(ctx, d.Control(), of, c.Max)
	if err != nil {
		return err
	}
	out := make([]certJSON, len(list))
	for i, one := range list {
		out[i] = certJSONOf(ctx, one, r)
	}
	if c.JSON {
		return printJSON(os.Stdout, out)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tTENANT\tSTATE\tUNTIL\tRENEWED\tERROR")
	for _, one := range out {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", one.Name, one.Tenant, one.State, dateOf(one.NotAfter), dateOf(one.RenewAt), one.Error)
	}
	return w.Flush()
}

type tlsShowCmd struct {
	tenantFlags
	Name string `arg:"" help:"Hostname, or *.domain."`
}

func (c *tlsShowCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	one, err := certs.Serving(ctx, d.Control(), c.Name)
	if err != nil {
		return explainCert(err)
	}
	return printCert(os.Stdout, certJSONOf(ctx, one, r), c.JSON)
}

type tlsRenewCmd struct {
	tenantFlags
	zoneFlags
	Name       string        `arg:"" help:"Hostname of a tenant, handle of an account, or *.domain."`
	Background bool          `help:"Do not wait for it."`
	Wait       time.Duration `placeholder:"TIME" help:"How long to wait; default: ${default}." default:"3m"`
}

func (c *tlsRenewCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	names, subject := c.names(r, account.NewCache(d, 1<<20, time.Now)), certs.Normal(c.Name)
	w, err := names.Still(ctx, subject)
	if err == nil && subject == w.Subject {
		if other, forErr := names.For(ctx, subject); forErr == nil {
			w = other // a wildcard, where the zone is ours
		}
	}
	if err != nil {
		return explainCert(err)
	}
	before, err := certs.Get(ctx, d.Control(), w.Subject)
	if err != nil && !errors.Is(err, certs.ErrNotFound) {
		return err
	}
	if err := act.NewTenantActs(d, r, time.Now).RenewCertificate(ctx, byCommand(), w); err != nil {
		return err
	}
	if c.Background {
		now, err := certs.Get(ctx, d.Control(), w.Subject)
		if err != nil {
			return err
		}
		return printCert(os.Stdout, certJSONOf(ctx, now, r), c.JSON)
	}
	return c.await(ctx, d, r, before, w.Subject)
}

// await shows that it waits, until the certificate is there or could not be had.
func (c *tlsRenewCmd) await(ctx context.Context, d *db.DB, r *tenant.Registry, before certs.Info, subject string) error {
	waiting, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	began := time.Now()
	for said := false; ; said = true {
		now, err := certs.Get(ctx, d.Control(), subject)
		switch {
		case err != nil:
			return err
		case now.State == certs.Valid && now.Serial != before.Serial:
			return printCert(os.Stdout, certJSONOf(ctx, now, r), c.JSON)
		case now.Error != "":
			return errors.Join(printCert(os.Stdout, certJSONOf(ctx, now, r), c.JSON), fmt.Errorf("the certificate for %s could not be had: %s", subject, now.Error))
		}
		if !said && time.Since(began) > time.Second || said && int(time.Since(began).Seconds())%10 == 0 {
			fmt.Fprintf(os.Stderr, "waiting for a server to have it made: %s\n", time.Since(began).Round(time.Second))
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("no server has done it within %s: is one running with --https-listen and --acme-email? It is still wanted ('locus tls show %s')", c.Wait, subject)
		case <-time.After(time.Second):
		}
	}
}

type tlsRemoveCmd struct {
	tenantFlags
	Name string `arg:"" help:"Name of the certificate, as 'locus tls list' shows it."`
}

func (c *tlsRemoveCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	one, err := certs.Get(ctx, d.Control(), c.Name)
	if err == nil {
		err = act.NewTenantActs(d, r, time.Now).RemoveCertificate(ctx, byCommand(), one)
	}
	if err == nil {
		one, err = certs.Get(ctx, d.Control(), c.Name)
	}
	if err != nil {
		return explainCert(err)
	}
	return printCert(os.Stdout, certJSONOf(ctx, one, r), c.JSON)
}

// certJSON is a certificate as it is printed.
type certJSON struct {
	Name      string     `json:"name"`
	Tenant    string     `json:"tenant,omitempty"`
	State     string     `json:"state"`
	Error     string     `json:"error,omitempty"`
	Attempts  int        `json:"failedAttempts,omitzero"`
	WantedAt  time.Time  `json:"wantedAt"`
	NextAt    time.Time  `json:"nextAt"`
	Issuer    string     `json:"issuer,omitempty"`
	Serial    string     `json:"serial,omitempty"`
	NotBefore *time.Time `json:"notBefore,omitempty"`
	NotAfter  *time.Time `json:"notAfter,omitempty"`
	RenewAt   *time.Time `json:"renewAt,omitempty"`
}

func certJSONOf(ctx context.Context, i certs.Info, r *tenant.Registry) certJSON {
	out := certJSON{
		Name: i.Subject, State: i.State.String(), Error: i.Error, Attempts: i.Attempts, WantedAt: i.WantedAt, NextAt: i.NextAt,
		Issuer: i.Issuer, Serial: i.Serial, NotBefore: i.NotBefore, NotAfter: i.NotAfter, RenewAt: i.RenewAt,
	}
	if r != nil {
		if t, err := r.ByID(ctx, i.TenantID); err == nil {
			out.Tenant = t.Hostname
		}
	}
	return out
}

func printCert(out io.Writer, c certJSON, asJSON bool) error {
	if asJSON {
		return printJSON(out, c)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "name\t%s\ntenant\t%s\nstate\t%s\n", c.Name, c.Tenant, c.State)
	if c.Error != "" {
		fmt.Fprintf(w, "error\t%s\nfailed attempts\t%d\n", c.Error, c.Attempts)
	}
	fmt.Fprintf(w, "issuer\t%s\nserial\t%s\nvalid from\t%s\nvalid until\t%s\nrenewed\t%s\nlooked at next\t%s\n",
		c.Issuer, c.Serial, dateOf(c.NotBefore), dateOf(c.NotAfter), dateOf(c.RenewAt), dateOf(&c.NextAt))
	return w.Flush()
}

func dateOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func explainCert(err error) error {
	switch {
	case errors.Is(err, certs.ErrNotFound):
		return fmt.Errorf("%w: nobody has asked for it yet ('locus tls list' shows all, 'locus tls renew' has it made)", err)
	case errors.Is(err, certs.ErrNoName):
		return fmt.Errorf("%w: certificates are for hostnames of tenants and handles of accounts in use", err)
	}
	return err
}

// certOf is the certificate of a tenant's hostname in a few words, for 'locus tenant show'.
func certOf(ctx context.Context, d *db.DB, hostname string) (*certJSON, string, error) {
	i, err := certs.Serving(ctx, d.Control(), hostname)
	if errors.Is(err, certs.ErrNotFound) {
		return nil, "none of ours", nil
	}
	if err != nil {
		return nil, "", err
	}
	out := certJSONOf(ctx, i, nil)
	text := out.State
	if out.NotAfter != nil {
		text += ", until " + dateOf(out.NotAfter)
	}
	if out.Error != "" {
		text += ", " + out.Error
	}
	return &out, text, nil
}

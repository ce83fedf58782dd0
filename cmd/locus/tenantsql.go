package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	"github.com/auroralocus/locus/db"
)

type tenantSQLCmd struct {
	Enable  tenantSQLEnableCmd  `cmd:"" help:"Give the owner of a tenant a login to Postgres that reads the tenant's views and nothing else. Again: a new password."`
	Disable tenantSQLDisableCmd `cmd:"" help:"Take the login away and end its connections."`
	Show    tenantSQLShowCmd    `cmd:"" help:"Tell whether a tenant has a login."`
}

// sqlJSON is the form that scripts read.
type sqlJSON struct {
	Hostname string `json:"hostname"`
	Enabled  bool   `json:"enabled"`
	Role     string `json:"role"`
	Password string `json:"password,omitempty"`
	URL      string `json:"url,omitempty"` // without the password
}

type tenantSQLEnableCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
}

func (c *tenantSQLEnableCmd) Run(ctx context.Context, log *slog.Logger) error {
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	role, password, err := t.acts.Share(ctx, t.Tenant, byCommand())
	if errors.Is(err, db.ErrNoRoles) {
		return fmt.Errorf("%w\nLet a superuser run: ALTER ROLE <the user of LOCUS_DATABASE_URL> CREATEROLE;", err)
	}
	if err != nil {
		return err
	}
	at, err := c.databaseOf(ctx, t)
	if err != nil {
		return err
	}
	out := sqlJSON{Hostname: t.Hostname, Enabled: true, Role: role, Password: password, URL: loginURL(at, role)}
	if c.JSON {
		return printJSON(os.Stdout, out)
	}
	connect := ""
	if out.URL != "" {
		connect = fmt.Sprintf("connect   PGPASSWORD=%s psql '%s'\n", password, out.URL)
	}
	return printed("role      %s\npassword  %s\n%sThe password is not shown again. docs/sql.md lists the views.\n", role, password, connect)
}

// databaseOf is the URL of the database that a tenant lies in.
func (f tenantFlags) databaseOf(ctx context.Context, t aboutTenant) (string, error) {
	if t.NodeID == db.HomeNode {
		return f.DatabaseURL, nil
	}
	urls, err := f.nodes()
	if err != nil {
		return "", err
	}
	all, err := t.tenants.Nodes(ctx)
	for _, n := range all {
		if n.ID == t.NodeID {
			return urls[n.Name], nil
		}
	}
	return "", err
}

// loginURL is where the login goes, as far as the database's own URL tells: owners may need another address.
func loginURL(database, role string) string {
	u, err := url.Parse(database)
	if err != nil || u.Host == "" {
		return ""
	}
	u.User = url.User(role)
	u.RawQuery = ""
	return u.String()
}

type tenantSQLDisableCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
}

func (c *tenantSQLDisableCmd) Run(ctx context.Context, log *slog.Logger) error {
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	role, _, err := t.db.Shared(ctx, t.Schema)
	if err == nil {
		err = t.acts.Unshare(ctx, t.Tenant, byCommand())
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, sqlJSON{Hostname: t.Hostname, Role: role})
	}
	fmt.Printf("%s has no login to the database any more\n", t.Hostname)
	return nil
}

type tenantSQLShowCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
}

func (c *tenantSQLShowCmd) Run(ctx context.Context, log *slog.Logger) error {
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	role, there, err := t.db.Shared(ctx, t.Schema)
	if err != nil {
		return err
	}
	out := sqlJSON{Hostname: t.Hostname, Enabled: there, Role: role}
	switch {
	case c.JSON:
		return printJSON(os.Stdout, out)
	case there:
		fmt.Printf("%s has the login %s\n", t.Hostname, out.Role)
	default:
		fmt.Printf("%s has no login ('locus tenant sql enable %s' gives it one)\n", t.Hostname, t.Hostname)
	}
	return nil
}

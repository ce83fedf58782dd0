package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/admin"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/tenant"
)

// operatorConnections is how many callers of the operator API there may be at once; one address has a quarter.
const operatorConnections = 200

// operators is the operator API.
func (a *app) operators(proxies inbound.Proxies) *admin.Server {
	return admin.New(admin.Config{
		DB: a.db, Keys: a.keys, Tenants: a.tenants, Acts: a.acts, Jobs: a.jobs, Backups: a.backups, Masters: a.masters, Proxies: proxies, Version: version(), Now: time.Now, Log: a.log,
	})
}

// ofLoopback is an address, on loopback where it names no host.
func ofLoopback(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil && net.ParseIP(addr) == nil: // a port alone
		return net.JoinHostPort("127.0.0.1", addr)
	case err == nil && host == "":
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// apart refuses a hostname for the operator API that leads to a tenant.
func apart(ctx context.Context, tenants *tenant.Registry, hostname string) error {
	if hostname == "" {
		return nil
	}
	m, err := tenants.ByHost(ctx, hostname)
	switch {
	case m.Tenant != nil:
		return fmt.Errorf("--operator-hostname: %s leads to the tenant %s: choose a name that is no tenant's and not below a handle domain", hostname, m.Hostname)
	case errors.Is(err, tenant.ErrUnknownHost):
		return nil
	}
	return err
}

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token, and print it. It is stored nowhere."`
	List   tokenListCmd   `cmd:"" help:"List the tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token, by the id that list shows."`
}

type tokenCreateCmd struct {
	tenantFlags
	Role   string        `arg:"" enum:"owner,support,billing,tenant" help:"owner: everything. support: reads everything, suspends and resumes tenants. billing: reads usage. tenant: reads one tenant, and changes what is the tenant's own affair."`
	Label  string        `required:"" help:"What the token is for; logs have it."`
	Tenant string        `placeholder:"HOSTNAME" help:"The tenant of role tenant."`
	Life   time.Duration `help:"How long it is good, as 720h; 0: until it is revoked." default:"0"`
}

func (c *tokenCreateCmd) Run(ctx context.Context, log *slog.Logger) error {
	role, err := auth.ParseDeploymentRole(c.Role)
	if err != nil {
		return err
	}
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	n := act.NewDeploymentToken{Label: c.Label, Role: role, Life: c.Life}
	if c.Tenant != "" {
		if n.Tenant, err = r.Get(ctx, c.Tenant); err != nil {
			return explainTenant(err)
		}
	}
	secret, what, err := act.NewTenantActs(d, r, time.Now).AddDeploymentToken(ctx, byCommand(), n)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, struct {
			tokenJSON
			Secret string `json:"secret"`
		}{jsonOfToken(what), secret})
	}
	return printed("%s\n", secret)
}

// tokenJSON is the form that scripts read.
type tokenJSON struct {
	ID         string     `json:"id"`
	Label      string     `json:"label"`
	Role       string     `json:"role"`
	TenantID   int64      `json:"tenantId,omitempty"`
	CreatedBy  string     `json:"createdBy"`
	CreatedAt  time.Time  `json:"createdAt"`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty"`
	LastUsedAt *time.Time `json:"lastUsedAt,omitempty"`
}

func jsonOfToken(t auth.DeploymentToken) tokenJSON {
	return tokenJSON{t.TokenID, t.Label, t.Role.String(), t.TenantID, t.CreatedBy, t.CreatedAt.UTC(), t.ExpiresAt, t.LastUsedAt}
}

type tokenListCmd struct{ tenantFlags }

const tokenPage = 500

func (c *tokenListCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	all := []tokenJSON{}
	for after, more := "", true; more; {
		var page []auth.DeploymentToken
		if page, more, err = auth.ListDeploymentTokens(ctx, d, after, tokenPage); err != nil {
			return err
		}
		for _, t := range page {
			all, after = append(all, jsonOfToken(t)), t.TokenID
		}
	}
	if c.JSON {
		return printJSON(os.Stdout, all)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tROLE\tTENANT\tLABEL\tBY\tCREATED\tUNTIL\tLAST USED")
	for _, t := range all {
		host := ""
		if t.TenantID != 0 {
			host = fmt.Sprintf("%d, gone", t.TenantID)
			if of, err := r.ByID(ctx, t.TenantID); err == nil {
				host = of.Hostname
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Role, host, t.Label, t.CreatedBy, t.CreatedAt.Format(time.DateOnly), moment(t.ExpiresAt, "no end"), moment(t.LastUsedAt, "never"))
	}
	return w.Flush()
}

type tokenRevokeCmd struct {
	tenantFlags
	ID string `arg:"" help:"The token's id."`
}

func (c *tokenRevokeCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	err = act.NewTenantActs(d, r, time.Now).RevokeDeploymentToken(ctx, byCommand(), c.ID)
	if errors.Is(err, auth.ErrDeploymentTokenNotFound) {
		return fmt.Errorf("%w: 'locus token list' shows all", err)
	}
	if err != nil {
		return err
	}
	return jsonFlags{c.JSON}.say(outcome{"revoked": c.ID}, "token %s ended, in all processes", c.ID)
}

type auditDeploymentCmd struct {
	tenantFlags
	Tenant string        `placeholder:"HOSTNAME" help:"Only what was done to one tenant."`
	Since  time.Duration `help:"Only what is younger, as 24h; 0: everything." default:"0"`
	Who    string        `help:"Only of one: cli:user, or 'token:id label'."`
	Action string        `help:"Only one action, as 'tenant set'."`
	Max    int           `help:"How many at most." default:"1000"`
}

func (c *auditDeploymentCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Max < 1 {
		return errors.New("--max must be at least 1")
	}
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	f := audit.DeploymentFilter{Who: c.Who, Action: c.Action}
	if c.Since > 0 {
		f.Since = time.Now().Add(-c.Since)
	}
	if c.Tenant != "" {
		t, err := r.Get(ctx, c.Tenant)
		if err != nil {
			return explainTenant(err)
		}
		f.TenantID = t.ID
	}
	for left := c.Max; left > 0; {
		page, more, err := audit.ListDeployment(ctx, d.Control(), f, min(left, auditPage), func(role int16) string { return auth.DeploymentRole(role).String() })
		if err != nil {
			return err
		}
		for _, e := range page {
			if c.JSON {
				err = printJSONLine(e)
			} else {
				_, err = fmt.Printf("%s  %-24s %-8s %-12s %s %s %s\n", e.At.Format("2006-01-02 15:04:05"), e.Who, e.Role, e.Outcome, e.Action, e.Subject, e.Detail)
			}
			if err != nil {
				return err
			}
			f.Before = e.ID
		}
		if left -= len(page); !more {
			return nil
		}
	}
	return nil
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web/console"
)

// dashboard is served where machines ask about the process, once the process has its parts.
type dashboard struct {
	ready atomic.Pointer[http.Handler]
}

// over serves the dashboard's pages, and hands all else to next.
func (d *dashboard) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != console.Root && !strings.HasPrefix(r.URL.Path, console.Root+"/") {
			next.ServeHTTP(w, r)
			return
		}
		pages := d.ready.Load()
		if pages == nil {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "This process is starting or ending: try again in some seconds.", http.StatusServiceUnavailable)
			return
		}
		(*pages).ServeHTTP(w, r)
	})
}

// dashboard serves the pages until ctx ends, where machines can ask.
func (s *serving) dashboard(ctx context.Context, address string) error {
	if s.machines == nil {
		return nil
	}
	a := s.app
	pages := console.New(console.Config{
		DB: a.db, Tenants: a.tenants, Acts: a.acts, Jobs: a.jobs, Backups: a.backups, Masters: a.masters, Proxies: s.proxies, Process: a.self.ID(), URL: address, Version: version(), Now: time.Now, Log: a.log,
	})
	face := s.traces.operated(func(r *http.Request) (string, bool) { return pages.Name(r), false }, pages)
	s.pages.ready.Store(&face)
	defer s.pages.ready.Store(nil)
	return pages.Run(db.InBackground(ctx))
}

type dashboardCmd struct {
	Link     dashboardLinkCmd     `cmd:"" help:"Print a link by which an operator comes into the dashboard once, to set up a second factor."`
	Reset    dashboardResetCmd    `cmd:"" help:"Take all second factors and sessions from an operator who has lost them. 'locus dashboard link' lets it in again."`
	Sessions dashboardSessionsCmd `cmd:"" help:"List the browsers in which an operator is signed in."`
	End      dashboardEndCmd      `cmd:"" help:"Sign an operator out, in all browsers at once."`
}

type dashboardArgs struct {
	tenantFlags
	Tenant string `placeholder:"HOSTNAME" help:"The tenant, for one of its own operators ('locus operator add')."`
}

// ref is the operator that is meant: a token of the deployment by its id, or one of a tenant's operators by its name.
func (f dashboardArgs) ref(ctx context.Context, r *tenant.Registry, who string) (operator.Ref, error) {
	if f.Tenant == "" {
		return operator.OfToken(who), nil
	}
	t, err := r.Get(ctx, f.Tenant)
	if err != nil {
		return "", explainTenant(err)
	}
	return operator.OfTenant(t.ID, who), nil
}

// with opens the database, finds the operator, and does something about it.
func (f dashboardArgs) with(ctx context.Context, log *slog.Logger, who string, do func(*act.TenantActs, operator.Ref) error) error {
	r, d, stop, err := f.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	ref, err := f.ref(ctx, r, who)
	if err != nil {
		return err
	}
	err = do(act.NewTenantActs(d, r, time.Now), ref)
	if errors.Is(err, operator.ErrNotIn) {
		return fmt.Errorf("there is no operator %.100q: 'locus token list' shows the deployment's by their ids, 'locus operator list HOSTNAME' a tenant's", who)
	}
	return err
}

type dashboardLinkCmd struct {
	dashboardArgs
	New       string `placeholder:"ROLE" enum:",owner,support,billing" default:"" help:"Make a new operator of the deployment with this role (owner, support or billing), and print its token, too."`
	Label     string `help:"With --new: who it is. Logs have it."`
	URL       string `name:"dashboard-url" placeholder:"URL" help:"Where browsers find the dashboard." env:"LOCUS_DASHBOARD_URL"`
	AdminAddr string `name:"admin-listen" placeholder:"ADDR" help:"Where servers listen for it, for a link without a name." env:"LOCUS_ADMIN_LISTEN"`
	Who       string `arg:"" optional:"" help:"The operator: a token's id, or with --tenant an operator's name."`
}

func (c *dashboardLinkCmd) Run(ctx context.Context, log *slog.Logger) error {
	switch {
	case (c.New == "") == (c.Who == ""):
		return errors.New("name an operator, or make one with --new and --label")
	case c.New != "" && (c.Label == "" || c.Tenant != ""):
		return errors.New("--new makes an operator of the deployment, and needs --label; 'locus operator add' makes a tenant's")
	}
	if err := console.CheckURL(c.URL); err != nil {
		return fmt.Errorf("--dashboard-url: %w", err)
	}
	return c.with(ctx, log, c.Who, func(acts *act.TenantActs, who operator.Ref) error {
		secret := ""
		if c.New != "" {
			role, err := auth.ParseDeploymentRole(c.New)
			if err != nil {
				return err
			}
			made, what, err := acts.AddDeploymentToken(ctx, byCommand(), act.NewDeploymentToken{Label: c.Label, Role: role})
			if err != nil {
				return err
			}
			secret, who = made, operator.OfToken(what.TokenID)
		}
		code, ends, err := acts.DashboardLink(ctx, byCommand(), who)
		if errors.Is(err, operator.ErrHasFactor) {
			return fmt.Errorf("%w, and signs in with it; for one who has lost it: 'locus dashboard reset'", err)
		}
		if err != nil {
			return err
		}
		return c.print(code, ends, secret, who)
	})
}

func (c *dashboardLinkCmd) print(code string, ends time.Time, secret string, who operator.Ref) error {
	link := c.address() + console.Root + "/enter?code=" + url.QueryEscape(code)
	if c.JSON {
		return printJSON(os.Stdout, struct {
			Link      string    `json:"link"`
			Code      string    `json:"code"`
			ExpiresAt time.Time `json:"expiresAt"`
			Operator  string    `json:"operator"`
			Token     string    `json:"token,omitempty"`
		}{link, code, ends.UTC(), string(who), secret})
	}
	if err := printed("%s\n", link); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "It works once, until %s.\n", ends.UTC().Format("15:04 UTC"))
	if secret != "" {
		if err := printed("token %s\n", secret); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "Keep the token: signing in with a code of an app asks for it. A passkey does not.")
	}
	return nil
}

// address is where the dashboard is, as far as this command can know.
func (c *dashboardLinkCmd) address() string {
	if c.URL != "" {
		return strings.TrimSuffix(c.URL, "/")
	}
	host, port, err := net.SplitHostPort(c.AdminAddr)
	if err != nil {
		return "http://ADMIN-LISTENER"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost" // of which browsers make passkeys
	}
	return "http://" + net.JoinHostPort(host, port)
}

type dashboardResetCmd struct {
	dashboardArgs
	Who string `arg:"" help:"The operator: a token's id, or with --tenant an operator's name."`
}

func (c *dashboardResetCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.with(ctx, log, c.Who, func(acts *act.TenantActs, who operator.Ref) error {
		if err := acts.DashboardReset(ctx, byCommand(), who); err != nil {
			return err
		}
		return jsonFlags{c.JSON}.say(outcome{"operator": string(who), "reset": true}, "%s has no second factor and no session any more", c.Who)
	})
}

type dashboardEndCmd struct {
	dashboardArgs
	Who string `arg:"" help:"The operator: a token's id, or with --tenant an operator's name."`
}

func (c *dashboardEndCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.with(ctx, log, c.Who, func(acts *act.TenantActs, who operator.Ref) error {
		n, err := acts.DashboardEnd(ctx, byCommand(), who, "", nil)
		if err != nil {
			return err
		}
		return jsonFlags{c.JSON}.say(outcome{"operator": string(who), "ended": n}, "%d sessions of %s are ended", n, c.Who)
	})
}

type dashboardSessionsCmd struct {
	dashboardArgs
	Who string `arg:"" help:"The operator: a token's id, or with --tenant an operator's name."`
}

func (c *dashboardSessionsCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.with(ctx, log, c.Who, func(acts *act.TenantActs, who operator.Ref) error {
		list, err := acts.OperatorSessions(ctx, who)
		if err != nil {
			return err
		}
		type sessionJSON struct {
			Way       string    `json:"way"`
			Address   string    `json:"address"`
			Agent     string    `json:"agent"`
			CreatedAt time.Time `json:"createdAt"`
			SeenAt    time.Time `json:"seenAt"`
			EndsAt    time.Time `json:"endsAt"`
		}
		if c.JSON {
			out := make([]sessionJSON, len(list))
			for i, s := range list {
				out[i] = sessionJSON{s.Way, s.Address, s.Agent, s.CreatedAt.UTC(), s.SeenAt.UTC(), s.EndsAt.UTC()}
			}
			return printJSON(os.Stdout, out)
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "SINCE\tSEEN\tENDS\tBY\tADDRESS\tBROWSER")
		for _, s := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", moment(&s.CreatedAt, ""), moment(&s.SeenAt, ""), moment(&s.EndsAt, ""), s.Way, s.Address, cmp.Or(s.Agent, "-"))
		}
		return w.Flush()
	})
}

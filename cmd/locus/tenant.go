package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

type tenantCmd struct {
	Create  tenantCreateCmd  `cmd:"" help:"Create a tenant: its schema, service DID, PLC rotation key and token secrets. It prints what was made and what comes next; --json prints all. After a failure, the same command goes on where it ended."`
	List    tenantListCmd    `cmd:"" help:"List the tenants."`
	Show    tenantShowCmd    `cmd:"" help:"Show one tenant with all its settings."`
	Set     tenantSetCmd     `cmd:"" help:"Change settings of a tenant. Running servers follow within a second or two."`
	SMTP    tenantSMTPCmd    `cmd:"" name:"smtp" help:"Give a tenant a mail server of its own. Its URL is stored sealed."`
	Captcha tenantCaptchaCmd `cmd:"" help:"Ask people who open an account on a page to show that they are no program: hCaptcha or Cloudflare Turnstile. The secret key is stored sealed."`
	Roles   tenantRolesCmd   `cmd:"" help:"Make the roles in Postgres by which --tenant-roles keeps tenants apart."`
	SQL     tenantSQLCmd     `cmd:"" name:"sql" help:"Let the owner of a tenant read it by SQL."`
	Backup  tenantBackupCmd  `cmd:"" help:"Keep a tenant in one file, of one moment, while it is served. Interrupted: no file."`
	Clone   tenantCloneCmd   `cmd:"" help:"Copy a tenant for trying things out: the same people and records under another hostname, with keys of its own, and speaking to nobody."`
	Restore tenantRestoreCmd `cmd:"" help:"Make a tenant of an archive, or put the archive in the place of a tenant. Nothing is changed before the archive is loaded and proven; interrupted, the same command begins anew."`
	Jump    tenantJumpCmd    `cmd:"" help:"Pass over sequence numbers of a tenant's event stream after restoring it from a backup, also while it is served."`
	Move    tenantMoveCmd    `cmd:"" help:"Move a tenant to another database while it serves. Writers wait for a moment at the end. Ended at any time, it goes on where a server runs; 'locus job cancel' takes it back."`
	Place   tenantPlaceCmd   `cmd:"" help:"See that a tenant is in a database: move it there unless it is."`
	Secrets tenantSecretsCmd `cmd:"" name:"rotate-secrets" help:"Replace the secrets that a tenant signs its tokens with. Nobody is signed out."`
	Keys    tenantKeysCmd    `cmd:"" help:"List every setting with its kind, default and meaning."`

	tenantLifeCmds `embed:""`
}

// tenantFlags are what every tenant command needs beside its own.
type tenantFlags struct {
	dataFlags
	originFlags
	JSON bool `help:"Print JSON."`
}

// registry opens the database that is there.
func (f tenantFlags) registry(ctx context.Context, log *slog.Logger) (*tenant.Registry, *db.DB, func(), error) {
	d, stop, err := f.existing(ctx, log)
	if err != nil {
		return nil, nil, nil, err
	}
	return f.registryOf(ctx, log, d, stop)
}

// registryOf brings the control schema up to date, so that a command works on a new database too. After a failure the
// database is closed.
func (f tenantFlags) registryOf(ctx context.Context, log *slog.Logger, d *db.DB, stop func()) (*tenant.Registry, *db.DB, func(), error) {
	facts, err := f.facts(ctx, d, f.dataFlags, false)
	if err == nil {
		err = d.MigrateControl(ctx)
	}
	var keys *keyring.Keyring
	if err == nil {
		keys, err = f.keys(ctx, d, log)
	}
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	return tenant.NewRegistry(d, keys, facts.Config(f.DevNames), time.Now, log), d, stop, nil
}

// aboutTenant is the tenant that a command is about, and what acts on it.
type aboutTenant struct {
	*tenant.Tenant
	tenants *tenant.Registry
	acts    *act.TenantActs
	db      *db.DB
	stop    func()
}

// about finds the tenant of a hostname.
func (f tenantFlags) about(ctx context.Context, log *slog.Logger, hostname string) (aboutTenant, error) {
	r, d, stop, err := f.registry(ctx, log)
	if err != nil {
		return aboutTenant{}, err
	}
	t, err := r.Get(ctx, hostname)
	if err != nil {
		stop()
		return aboutTenant{}, explainTenant(err)
	}
	return aboutTenant{t, r, act.NewTenantActs(d, r, time.Now), d, stop}, nil
}

type tenantCreateCmd struct {
	tenantFlags
	Hostname      string            `arg:"" help:"Canonical hostname of the new PDS: pds.example.com."`
	HandleDomain  []string          `placeholder:"DOMAIN" help:"Domain under which accounts get handles; may be repeated. Default: the hostname."`
	AdminPassword string            `placeholder:"TEXT" help:"Password of HTTP Basic user admin on this tenant. '-' reads one line from standard input. Without it admin methods are refused until one is set." env:"LOCUS_ADMIN_PASSWORD"`
	Node          string            `placeholder:"NAME" help:"Database that the tenant lies in: see 'locus node list'. Default: of those that take new tenants, the one with the fewest."`
	Setting       map[string]string `arg:"" optional:"" help:"Settings as key=value: see 'locus tenant keys'."`
}

func (c *tenantCreateCmd) Run(ctx context.Context, log *slog.Logger) error {
	password, err := secretArgument(c.AdminPassword, os.Stdin)
	if err != nil {
		return err
	}
	d, stop, err := c.open(ctx, log, db.Config{Log: log}) // an installation may begin with this command
	if err != nil {
		return err
	}
	r, d, stop, err := c.registryOf(ctx, log, d, stop)
	if err != nil {
		return err
	}
	defer stop()
	if err := c.begin(ctx, d); err != nil {
		return err
	}
	spec := tenant.Spec{Hostname: c.Hostname, HandleDomains: c.HandleDomain, Settings: c.Setting, AdminPassword: password}
	if c.Node != "" {
		n, err := r.Node(ctx, c.Node)
		if err != nil {
			return explainNode(err)
		}
		spec.Node = n.ID
	}
	t, err := act.NewTenantActs(d, r, time.Now).CreateTenant(ctx, byCommand(), spec)
	if err != nil {
		return explainTenant(err)
	}
	if c.JSON {
		return printJSON(os.Stdout, jsonOf(t))
	}
	facts, _, err := tenant.ReadDeployment(ctx, d)
	if err != nil {
		return err
	}
	return printMade(os.Stdout, t, password != "", facts.Development)
}

// begin writes down what the deployment is, where this is the first command on a new database. One that has tenants was
// served by an older version: its next start knows better what it was served as.
func (c *tenantCreateCmd) begin(ctx context.Context, d *db.DB) error {
	traces, err := tenant.ReadTraces(ctx, d)
	if err != nil || traces.Tenants > 0 {
		return err
	}
	facts, err := c.facts(ctx, d, c.dataFlags, false)
	if err != nil {
		return err
	}
	noted, err := tenant.NoteDeployment(ctx, d, facts, time.Now())
	if err == nil {
		err = c.agree(noted)
	}
	return err
}

// secretArgument is the text itself, or the first line of in for '-': command lines are seen by others.
func secretArgument(text string, in io.Reader) (string, error) {
	if text != "-" {
		return text, nil
	}
	line, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	first, _, _ := strings.Cut(string(line), "\n")
	if first = strings.TrimRight(first, "\r"); first == "" {
		return "", errors.New("standard input has no password in its first line")
	}
	return first, nil
}

type tenantListCmd struct {
	tenantFlags
	Usage bool   `help:"Also what each holds: accounts, records, files, events, the last event."`
	Sort  string `help:"With --usage: by what, the largest first." enum:"bytes,accounts,records,events,active,name" default:"bytes"`
}

func (c *tenantListCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, _, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	all, err := r.List(ctx)
	if err != nil {
		return err
	}
	if c.Usage {
		return c.usage(ctx, r, all)
	}
	if c.JSON {
		out := make([]tenantJSON, len(all))
		for i, t := range all {
			out[i] = jsonOf(t)
		}
		return printJSON(os.Stdout, out)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "HOSTNAME\tSTATE\tSCHEMA\tNODE\tHANDLE DOMAINS\tCREATED")
	for _, t := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", t.Hostname, t.State, t.Schema, t.NodeID, strings.Join(t.HandleDomains, ","), t.CreatedAt.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

type tenantShowCmd struct {
	tenantFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
}

func (c *tenantShowCmd) Run(ctx context.Context, log *slog.Logger) error {
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	return showTenant(ctx, os.Stdout, t.db, t.tenants, t.Tenant, c.mailServer(ctx, t.db, t.Tenant, log), c.JSON)
}

// mailServer is the tenant's own mail server, without its password; "": it has none, or nobody can tell at the moment.
func (c *tenantShowCmd) mailServer(ctx context.Context, d *db.DB, t *tenant.Tenant, log *slog.Logger) string {
	row, err := d.Tenant(t.Schema).Q().GetSecret(ctx, tenant.SecretSMTP)
	if err != nil {
		return ""
	}
	keys, err := c.keys(ctx, d, log)
	if err != nil {
		return ""
	}
	text, err := keys.Open(tenant.SMTPBinding(t.Schema), row.Sealed)
	if err != nil {
		return ""
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return ""
	}
	return u.Redacted()
}

type tenantSetCmd struct {
	tenantFlags
	Hostname      string            `arg:"" help:"Hostname of the tenant."`
	AdminPassword string            `placeholder:"TEXT" help:"New password of HTTP Basic user admin; '-' reads one line from standard input."`
	Setting       map[string]string `arg:"" optional:"" help:"Settings as key=value; an empty value goes back to the default. See 'locus tenant keys'."`
}

func (c *tenantSetCmd) Run(ctx context.Context, log *slog.Logger) error {
	if len(c.Setting) == 0 && c.AdminPassword == "" {
		return errors.New("nothing to set: give key=value pairs ('locus tenant keys' lists them) or --admin-password")
	}
	password, err := secretArgument(c.AdminPassword, os.Stdin)
	if err != nil {
		return err
	}
	t, err := c.about(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer t.stop()
	now, err := t.acts.SetTenant(ctx, t.Tenant, byCommand(), c.Setting, password)
	if err != nil {
		return explainTenant(err)
	}
	return printTenant(os.Stdout, now, c.JSON)
}

type tenantKeysCmd struct{ jsonFlags }

func (c tenantKeysCmd) Run() error {
	if c.JSON {
		out := []outcome{}
		for _, f := range tenant.Fields() {
			out = append(out, outcome{"key": f.Key, "kind": f.Kind, "default": f.Default, "meaning": f.Doc, "ownerOnly": tenant.OfDeployment(f.Key)})
		}
		return printJSON(os.Stdout, out)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tKIND\tDEFAULT\tMEANING")
	for _, f := range tenant.Fields() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Key, f.Kind, f.Default, f.Doc)
	}
	return w.Flush()
}

// explainTenant adds what to do next.
func explainTenant(err error) error {
	switch {
	case errors.Is(err, tenant.ErrNotFound):
		return fmt.Errorf("%w: 'locus tenant list' shows all", err)
	case errors.Is(err, tenant.ErrBadSetting):
		return fmt.Errorf("%w ('locus tenant keys' lists all settings)", err)
	}
	return err
}

// tenantJSON is the form that scripts read.
type tenantJSON struct {
	ID            int64             `json:"id"`
	Hostname      string            `json:"hostname"`
	URL           string            `json:"url"`
	ServiceDID    string            `json:"serviceDid"`
	State         string            `json:"state"`
	Schema        string            `json:"schema"`
	NodeID        int32             `json:"nodeId"`
	HandleDomains []string          `json:"handleDomains"`
	Settings      map[string]string `json:"settings"`
	CreatedAt     time.Time         `json:"createdAt"`
}

func jsonOf(t *tenant.Tenant) tenantJSON {
	settings := map[string]string{}
	for _, f := range tenant.Fields() {
		if f.Key != tenant.KeyHandleDomains {
			settings[f.Key] = f.Text(&t.Settings)
		}
	}
	return tenantJSON{
		ID: t.ID, Hostname: t.Hostname, URL: t.PublicURL, ServiceDID: t.ServiceDID, State: t.State.String(), Schema: t.Schema.String(), NodeID: t.NodeID,
		HandleDomains: t.HandleDomains, Settings: settings, CreatedAt: t.CreatedAt.UTC(),
	}
}

func printTenant(out io.Writer, t *tenant.Tenant, asJSON bool) error {
	if asJSON {
		return printJSON(out, jsonOf(t))
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "hostname\t%s\nurl\t%s\nservice DID\t%s\nstate\t%s\nschema\t%s\nnode\t%d\nhandle domains\t%s\ncreated\t%s\n\n",
		t.Hostname, t.PublicURL, t.ServiceDID, t.State, t.Schema, t.NodeID, strings.Join(t.HandleDomains, ","), t.CreatedAt.UTC().Format(time.RFC3339))
	for _, f := range tenant.Fields() {
		if f.Key == tenant.KeyHandleDomains {
			continue
		}
		note := ""
		if f.Text(&t.Settings) != f.Default {
			note = "\t(set)"
		}
		fmt.Fprintf(w, "%s\t%s%s\n", f.Key, f.Text(&t.Settings), note)
	}
	return w.Flush()
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

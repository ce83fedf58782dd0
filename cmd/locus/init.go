package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// initCmd begins a deployment. All that it does may be there already.
type initCmd struct {
	dataFlags
	originFlags
	JSON         bool   `help:"Print JSON."`
	Development  bool   `help:"A deployment for 'serve --dev': known passwords, names that nobody else can resolve."`
	NewMasterKey string `placeholder:"FILE" type:"path" help:"Make the master key in this file, for --master-key-file of the configuration. A file that is there is read, never overwritten. Without this, and without --master-key: master.key in the data folder."`
	Token        string `placeholder:"LABEL" help:"Make a token of role owner for the operator API, unless there is one with this label. It is printed once."`
}

// Help is what 'locus init --help' says beside the flags.
func (initCmd) Help() string {
	return `Example, on the first server:

  locus init --database-url postgres://locus@db.example.com/locus --new-master-key /etc/locus/master.key --token first

Public URLs are https on port 443 and DIDs are in https://plc.directory, unless --public-scheme, --public-port and --plc-url
say otherwise. The database keeps these facts: a server or command that says otherwise refuses to work. 'locus deployment
set' changes them.

Nothing is asked. When the same command is run again it changes nothing and says what there is. Without a Postgres of your
own, '--database-url private' makes one in the data folder.`
}

// begun is what init did and found.
type begun struct {
	Deployment deploymentJSON `json:"deployment"`
	New        bool           `json:"new"` // the facts were written now
	MasterKey  struct {
		File string `json:"file,omitempty"` // none: it was given as text
		Made bool   `json:"made"`
	} `json:"masterKey"`
	Token *begunToken `json:"token,omitempty"`
	Next  []string    `json:"next"`
}

type begunToken struct {
	ID     string `json:"id"`
	Label  string `json:"label"`
	Made   bool   `json:"made"`
	Secret string `json:"secret,omitempty"` // of one that was made now
}

func (c *initCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.NewMasterKey != "" && c.MasterKey != "" {
		return errors.New("--new-master-key makes a key, and --master-key (or LOCUS_MASTER_KEY, or the configuration file) gives one: leave one of them out")
	}
	d, stop, err := c.open(ctx, log, db.Config{Log: log})
	if err != nil {
		return err
	}
	defer stop()
	var out begun
	facts, err := c.settle(ctx, d, &out)
	if err != nil {
		return err
	}
	if err := c.key(ctx, d, log, &out); err != nil {
		return err
	}
	acts := act.NewTenantActs(d, nil, time.Now)
	if out.New {
		if err := acts.SetDeployment(ctx, byCommand(), tenant.Deployment{}, facts); err != nil {
			return err
		}
	}
	if c.Token != "" {
		if out.Token, err = c.token(ctx, d, acts); err != nil {
			return err
		}
	}
	out.Deployment = deploymentJSON{facts.Development, facts.Scheme, facts.Port, facts.PLCURL, true}
	out.Next = c.next(out)
	if c.JSON {
		return printJSON(os.Stdout, out)
	}
	return out.print(os.Stdout, facts)
}

// settle finds what the deployment is, and brings the control schema up to date. Nothing is written where a flag
// contradicts the database.
func (c *initCmd) settle(ctx context.Context, d *db.DB, out *begun) (tenant.Deployment, error) {
	facts, err := c.facts(ctx, d, c.dataFlags, c.Development)
	if err != nil {
		return facts, err
	}
	_, noted, err := tenant.ReadDeployment(ctx, d)
	if err != nil {
		return facts, err
	}
	out.New = !noted
	return facts, d.MigrateControl(ctx)
}

// key makes the master key where none is given, and sees that it is the database's.
func (c *initCmd) key(ctx context.Context, d *db.DB, log *slog.Logger, out *begun) error {
	if c.MasterKey == "" {
		path := c.masterFile()
		if c.NewMasterKey != "" {
			path = c.NewMasterKey
		}
		_, err := os.Stat(path)
		out.MasterKey.File, out.MasterKey.Made = path, errors.Is(err, os.ErrNotExist)
	}
	if c.NewMasterKey != "" {
		n, err := d.Control().CountTenants(ctx)
		if err != nil {
			return fmt.Errorf("look for tenants: %w", err)
		}
		if n > 0 && out.MasterKey.Made {
			return fmt.Errorf("this database has tenants, so it has a master key already: a new one in %s would open nothing", c.NewMasterKey)
		}
		if _, err := keyring.LoadOrCreateMaster(c.NewMasterKey); err != nil {
			return fmt.Errorf("--new-master-key: %w", err)
		}
		if c.MasterKey, err = valueIn(c.NewMasterKey); err != nil {
			return err
		}
	}
	_, err := c.keys(ctx, d, slog.New(slog.DiscardHandler)) // init says it itself
	return err
}

// token makes the first token, unless there is one with its label.
func (c *initCmd) token(ctx context.Context, d *db.DB, acts *act.TenantActs) (*begunToken, error) {
	for after, more := "", true; more; {
		page, next, err := auth.ListDeploymentTokens(ctx, d, after, tokenPage)
		if err != nil {
			return nil, err
		}
		for _, t := range page {
			if t.Label == c.Token {
				return &begunToken{ID: t.TokenID, Label: t.Label}, nil
			}
			after = t.TokenID
		}
		more = next
	}
	secret, what, err := acts.AddDeploymentToken(ctx, byCommand(), act.NewDeploymentToken{Label: c.Token, Role: auth.DeploymentOwner})
	return &begunToken{ID: what.TokenID, Label: what.Label, Made: true, Secret: secret}, err
}

// next are the steps that follow.
func (c *initCmd) next(out begun) (steps []string) {
	if out.MasterKey.Made {
		steps = append(steps, "keep a copy of "+out.MasterKey.File+" apart from the database: without it nobody can read what is sealed there")
	}
	if c.NewMasterKey != "" && filepath.Clean(c.NewMasterKey) != filepath.Clean(c.masterFile()) {
		steps = append(steps, "all servers and commands: master-key-file: "+c.NewMasterKey+" in the configuration, or LOCUS_MASTER_KEY_FILE")
	}
	if out.Deployment.Development {
		return append(steps, "locus serve --dev")
	}
	return append(steps, "locus tenant create pds.example.com", "locus serve", "locus doctor")
}

// print tells it to people.
func (b begun) print(w io.Writer, facts tenant.Deployment) error {
	was := "as before"
	if b.New {
		was = "now"
	}
	text := &strings.Builder{}
	fmt.Fprintf(text, "deployment  %s (%s)\n", describe(facts), was)
	switch {
	case b.MasterKey.File == "":
		fmt.Fprintln(text, "master key  as given")
	case b.MasterKey.Made:
		fmt.Fprintf(text, "master key  made: %s\n", b.MasterKey.File)
	default:
		fmt.Fprintf(text, "master key  %s, as before\n", b.MasterKey.File)
	}
	switch t := b.Token; {
	case t == nil:
	case t.Made:
		fmt.Fprintf(text, "token       %s (%s of role owner; it is not shown again)\n", t.Secret, t.Label)
	default:
		fmt.Fprintf(text, "token       %s is there as %s; 'locus token create' makes another\n", t.Label, t.ID)
	}
	fmt.Fprintln(text, "\nNext:")
	for _, step := range b.Next {
		fmt.Fprintf(text, "  %s\n", step)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

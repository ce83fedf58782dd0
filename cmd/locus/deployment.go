package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// publicPLC is the directory that the network's DIDs are in.
const publicPLC = "https://plc.directory"

// originFlags are what is true of the whole deployment. The database keeps it from the first start on. Later a flag
// only repeats it. A flag that contradicts it ends the process, before another address gets into somebody's DID.
type originFlags struct {
	PublicScheme string `help:"Scheme of the tenants' public URLs, https or http: for the first start, where it is not https. Then the database keeps it ('locus deployment')." enum:",https,http" default:"" env:"LOCUS_PUBLIC_SCHEME"`
	PublicPort   *int   `placeholder:"N" help:"Port in the tenants' public URLs, where it is not the scheme's own. Kept as the scheme is." env:"LOCUS_PUBLIC_PORT"`
	PLCURL       string `name:"plc-url" placeholder:"URL" help:"PLC directory, https or http, at a private address too. Kept as the scheme is. Default: https://plc.directory, or the built-in one of a development server." env:"LOCUS_PLC_URL"`
	DevNames     bool   `help:"Allow localhost and .test names (implied by serve --dev). Nothing else changes: calls are limited all the same." env:"LOCUS_DEV_NAMES"`
}

// production is what the flags make of a deployment that nobody has described yet.
func (f originFlags) production() (out tenant.Deployment, err error) {
	out.Scheme = cmp.Or(f.PublicScheme, "https")
	if f.PublicPort != nil {
		out.Port = *f.PublicPort
	}
	if out.PLCURL, err = f.directory(publicPLC); err == nil {
		err = out.Check()
	}
	return out, err
}

// development is the same of a development server that listens at a port.
func (f originFlags) development(port int) (out tenant.Deployment, err error) {
	out = tenant.Deployment{Development: true, Scheme: "http", Port: port}
	out.PLCURL, err = f.directory("")
	return out, err
}

func (f originFlags) directory(otherwise string) (string, error) {
	if f.PLCURL == "" {
		return otherwise, nil
	}
	clean, err := identity.ParseDirectoryURL(f.PLCURL)
	if err != nil {
		return "", fmt.Errorf("--plc-url or LOCUS_PLC_URL: %w", err)
	}
	return clean, nil
}

// errContradiction: a flag says what is not so.
var errContradiction = errors.New("this is not so in this deployment")

// agree refuses flags that say something else than the database.
func (f originFlags) agree(facts tenant.Deployment) error {
	differs := func(flag, env, key string, said, kept any) error {
		return fmt.Errorf("%w: --%s or %s says %v, the database %v. Leave it out; or, if the deployment has changed, run 'locus deployment set %s=%v' and then start all servers anew",
			errContradiction, flag, env, said, kept, key, said)
	}
	if s := f.PublicScheme; s != "" && s != facts.Scheme {
		return differs("public-scheme", "LOCUS_PUBLIC_SCHEME", keyScheme, s, facts.Scheme)
	}
	if p := f.PublicPort; p != nil && *p != facts.Port {
		return differs("public-port", "LOCUS_PUBLIC_PORT", keyPort, *p, facts.Port)
	}
	if f.PLCURL == "" {
		return nil
	}
	said, err := f.directory("")
	if err == nil && said != facts.PLCURL {
		err = differs("plc-url", "LOCUS_PLC_URL", keyPLCURL, said, cmp.Or(facts.PLCURL, "the built-in directory"))
	}
	return err
}

// facts are what the database says of the deployment. If it says nothing yet, its traces and the flags decide.
func (f originFlags) facts(ctx context.Context, d *db.DB, data dataFlags, dev bool) (facts tenant.Deployment, err error) {
	if err := d.CheckControl(ctx); err != nil {
		return facts, err
	}
	facts, found, err := tenant.ReadDeployment(ctx, d)
	if err == nil && !found {
		facts, err = f.guess(ctx, d, data, dev)
	}
	if err != nil {
		return facts, err
	}
	if dev && !facts.Development {
		return facts, errNotDevelopment
	}
	return facts, f.agree(facts)
}

func (f originFlags) guess(ctx context.Context, d *db.DB, data dataFlags, dev bool) (tenant.Deployment, error) {
	note, err := data.devNote()
	if err != nil {
		return tenant.Deployment{}, err
	}
	traces, err := tenant.ReadTraces(ctx, d)
	switch {
	case err != nil:
		return tenant.Deployment{}, err
	case note != nil && f.PLCURL == "":
		f.PLCURL = note.PLCURL
	}
	switch {
	case note != nil:
		return f.development(note.Port)
	case dev && traces.NotDev == 0, f.onlyDev(traces):
		port := cmp.Or(traces.Port, devPort)
		if f.PublicPort != nil {
			port = *f.PublicPort
		}
		return f.development(port)
	}
	return f.production()
}

// onlyDev tells a development server's database by its tenants: no public deployment has names like theirs alone.
func (f originFlags) onlyDev(traces tenant.Traces) bool {
	return traces.Tenants > 0 && traces.NotDev == 0 && !f.DevNames
}

// What a start refuses, with the ways out.
var (
	errNotDevelopment = errors.New(`this database is not a development server's: --dev would put an open tenant with known passwords into it.
Leave out --database-url (is LOCUS_DATABASE_URL set?) for a private database, or name another one.
'locus deployment set development=on' makes this one a development database`)
	errDevelopment = errors.New(`this database is a development server's: its passwords are known, and nobody else finds its DIDs.
'locus serve --dev' serves it; another --database-url or --data-dir makes a new one.
'locus deployment set development=off scheme=https port=0 plc_url=https://plc.directory' makes this one a production database`)
)

// decide says what the deployment is, before anything is written into it. port is where the server listens.
func (c *serveCmd) decide(ctx context.Context, d *db.DB, port int) (tenant.Deployment, error) {
	facts := tenant.Deployment{}
	if err := d.CheckControl(ctx); err != nil {
		return facts, err
	}
	facts, found, err := tenant.ReadDeployment(ctx, d)
	if err != nil {
		return facts, err
	}
	if !found {
		return c.adopt(ctx, d, port)
	}
	switch {
	case c.Dev && !facts.Development:
		return facts, errNotDevelopment
	case !c.Dev && facts.Development:
		return facts, errDevelopment
	case c.Dev:
		facts.Scheme, facts.Port = "http", port // it is reached where it listens today
	}
	return facts, c.agree(facts)
}

// adopt is for a database that says nothing of itself: a new one, or an older version's.
func (c *serveCmd) adopt(ctx context.Context, d *db.DB, port int) (facts tenant.Deployment, err error) {
	note, err := c.devNote()
	if err != nil {
		return facts, err
	}
	traces, err := tenant.ReadTraces(ctx, d)
	switch {
	case err != nil:
		return facts, err
	case c.Dev && traces.NotDev > 0 && note == nil:
		return facts, errNotDevelopment
	case c.Dev:
		return c.development(port)
	case note != nil || c.onlyDev(traces):
		return facts, errDevelopment
	}
	return c.production()
}

// note writes down what was decided; two first starts at once may have decided differently.
func (c *serveCmd) note(ctx context.Context, d *db.DB, facts tenant.Deployment) error {
	if c.Dev {
		if err := tenant.SetDeployment(ctx, d, facts, time.Now()); err != nil {
			return err
		}
		return c.dropDevNote()
	}
	noted, err := tenant.NoteDeployment(ctx, d, facts, time.Now())
	switch {
	case err != nil:
		return err
	case noted.Development:
		return errDevelopment
	case noted != facts:
		return fmt.Errorf("%w: it is %s, and this process was started for %s", errContradiction, describe(noted), describe(facts))
	}
	return nil
}

func describe(f tenant.Deployment) string {
	kind := "production"
	if f.Development {
		kind = "development"
	}
	return fmt.Sprintf("%s, public URLs %s, PLC directory %s", kind, f.Config(false).URL("HOST"), cmp.Or(f.PLCURL, "built-in"))
}

// devNote is what development servers left in the data folder before the database knew what it is.
type devNote struct {
	Port   int    `json:"port"`
	PLCURL string `json:"plcUrl,omitzero"`
}

func (f dataFlags) devFile() string { return filepath.Join(f.DataDir, "development.json") }

// devNote gives nil where there is none. A database elsewhere has nothing to do with the folder.
func (f dataFlags) devNote() (*devNote, error) {
	if !f.isPrivate() {
		return nil, nil
	}
	text, err := os.ReadFile(f.devFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var note devNote
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, of an older version, which 'locus serve --dev' takes away: %w", f.devFile(), err)
	}
	return &note, nil
}

func (f dataFlags) dropDevNote() error {
	if !f.isPrivate() {
		return nil
	}
	if err := os.Remove(f.devFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

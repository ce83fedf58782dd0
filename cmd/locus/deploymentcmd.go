package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

type deploymentCmd struct {
	Show deploymentShowCmd `cmd:"" help:"Show what is true of the whole deployment: development or production, public scheme and port, PLC directory."`
	Set  deploymentSetCmd  `cmd:"" help:"Change it. Servers that run go on as they are: start them anew."`
}

// The keys of 'deployment set'.
const (
	keyDevelopment = "development"
	keyScheme      = "scheme"
	keyPort        = "port"
	keyPLCURL      = "plc_url"
)

type deploymentShowCmd struct {
	dataFlags
	originFlags
	JSON bool `help:"Print JSON."`
}

// deploymentJSON is the form that scripts read.
type deploymentJSON struct {
	Development bool   `json:"development"`
	Scheme      string `json:"scheme"`
	Port        int    `json:"port"`
	PLCURL      string `json:"plcUrl"`
	Noted       bool   `json:"noted"` // false: nobody has served it since it could be noted; the next start does
}

func (c *deploymentShowCmd) Run(ctx context.Context, log *slog.Logger) error {
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	facts, noted, err := tenant.ReadDeployment(ctx, d)
	if err == nil && !noted {
		facts, err = c.guess(ctx, d, c.dataFlags, false)
	}
	if err != nil {
		return err
	}
	return printDeployment(facts, noted, c.JSON)
}

func printDeployment(f tenant.Deployment, noted, asJSON bool) error {
	if asJSON {
		return printJSON(os.Stdout, deploymentJSON{f.Development, f.Scheme, f.Port, f.PLCURL, noted})
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t%s\n%s\t%s\n%s\t%d\n%s\t%s\n", keyDevelopment, onOff(f.Development), keyScheme, f.Scheme, keyPort, f.Port, keyPLCURL, cmp.Or(f.PLCURL, "built-in"))
	if !noted {
		fmt.Fprintln(w, "\nas the flags and the tenants tell: the next 'locus serve' writes it into the database")
	}
	return w.Flush()
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

type deploymentSetCmd struct {
	dataFlags
	originFlags
	JSON bool              `help:"Print JSON."`
	Fact map[string]string `arg:"" help:"Facts as key=value: development=on|off, scheme=https|http, port=N (0: the scheme's own), plc_url=URL (built-in: the directory of a development server)."`
}

func (c *deploymentSetCmd) Run(ctx context.Context, log *slog.Logger) error {
	change, err := parseFacts(c.Fact)
	if err != nil {
		return err
	}
	d, stop, err := c.existing(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if err := d.MigrateControl(ctx); err != nil {
		return err
	}
	facts, noted, err := tenant.ReadDeployment(ctx, d)
	if err == nil && !noted {
		facts, err = c.guess(ctx, d, c.dataFlags, false)
	}
	if err != nil {
		return err
	}
	old := facts
	change(&facts)
	if err := act.NewTenantActs(d, nil, time.Now).SetDeployment(ctx, byCommand(), old, facts); err != nil {
		return err
	}
	if err := c.dropDevNote(); err != nil { // the database says it now
		return err
	}
	traces, err := tenant.ReadTraces(ctx, d)
	if err != nil {
		return err
	}
	if facts != old && traces.Tenants > 0 {
		fmt.Fprintln(os.Stderr, "Start all servers anew. What was made before stays as it is: service DIDs, and the addresses and directory of accounts' DIDs.")
	}
	return printDeployment(facts, true, c.JSON)
}

// parseFacts gives the change that key=value pairs ask for.
func parseFacts(pairs map[string]string) (change func(*tenant.Deployment), err error) {
	var all []func(*tenant.Deployment)
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		value := pairs[key]
		switch key {
		case keyDevelopment:
			if value != "on" && value != "off" {
				return nil, fmt.Errorf("%s is on or off", key)
			}
			all = append(all, func(d *tenant.Deployment) { d.Development = value == "on" })
		case keyScheme:
			all = append(all, func(d *tenant.Deployment) { d.Scheme = value })
		case keyPort:
			port, err := strconv.Atoi(value)
			if err != nil {
				return nil, errors.New("port is a number, 0 for the scheme's own")
			}
			all = append(all, func(d *tenant.Deployment) { d.Port = port })
		case keyPLCURL:
			if value == "built-in" {
				value = ""
			} else if value, err = identity.ParseDirectoryURL(value); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			all = append(all, func(d *tenant.Deployment) { d.PLCURL = value })
		default:
			return nil, fmt.Errorf("there is no %.50q: the facts are %s, %s, %s and %s", key, keyDevelopment, keyScheme, keyPort, keyPLCURL)
		}
	}
	return func(d *tenant.Deployment) {
		for _, f := range all {
			f(d)
		}
	}, nil
}

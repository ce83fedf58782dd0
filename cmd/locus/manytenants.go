package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
)

// manyFlags name one tenant, or all of them.
type manyFlags struct {
	Hostname string        `arg:"" optional:"" help:"Hostname of the tenant; or --all."`
	All      bool          `help:"All tenants, one after the other. One that has trouble has a line that says so, and the others follow; the exit status is then 1."`
	Pause    time.Duration `placeholder:"TIME" default:"20ms" help:"With --all: how long to rest after each tenant; default: ${default}."`
}

// errManyTenants makes the exit status tell what the output has told already.
var errManyTenants = errors.New("some tenants have trouble: each has a line above")

const longestPause = time.Hour

// oneOrAll refuses what names neither or both.
func (f manyFlags) oneOrAll() error {
	switch {
	case f.All && f.Hostname != "":
		return errors.New("name one tenant, or give --all for all of them, but not both")
	case !f.All && f.Hostname == "":
		return errors.New("name a tenant ('locus tenant list' shows them), or give --all for all of them")
	case f.Pause < 0 || f.Pause > longestPause:
		return fmt.Errorf("--pause must be between 0 and %s", longestPause)
	}
	return nil
}

// walk does something to each tenant, also to those that are not served at the moment. do prints its line itself, gives
// [errProblems] when that tells of trouble, and shows how far it is on p; for any other error walk prints the line.
// Tenants that are being made or removed are passed over.
func (f manyFlags) walk(ctx context.Context, r *tenant.Registry, asJSON bool, step string, do func(ctx context.Context, t *tenant.Tenant, p *progress) error) error {
	all, err := r.List(ctx)
	if err != nil {
		return err
	}
	p := newProgress()
	defer p.end()
	bad, passed := 0, 0
	for i, t := range all {
		p.show(step+", tenants", int64(i), int64(len(all)))
		if t.State == tenant.Provisioning || t.State == tenant.Purging {
			passed++
			continue
		}
		ready, err := r.Ready(ctx, t)
		if err == nil {
			err = do(ctx, ready, p)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad++
		}
		if err != nil && !errors.Is(err, errProblems) {
			p.end()
			if err := troubleLine(t.Hostname, err, asJSON); err != nil {
				return err
			}
		}
		if err := rest(ctx, f.Pause); err != nil {
			return err
		}
	}
	p.end()
	fmt.Fprintf(os.Stderr, "%d tenants, %d with trouble, %d passed over\n", len(all)-passed, bad, passed)
	if bad > 0 {
		return errManyTenants
	}
	return nil
}

// troubleLine says what kept a tenant from being looked at.
func troubleLine(hostname string, trouble error, asJSON bool) error {
	if asJSON {
		return printJSONLine(outcome{"hostname": hostname, "error": trouble.Error()})
	}
	_, err := fmt.Printf("TROUBLE   %s: %v\n", hostname, trouble)
	return err
}

// rest waits, or ends with the context.
func rest(ctx context.Context, pause time.Duration) error {
	if pause <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

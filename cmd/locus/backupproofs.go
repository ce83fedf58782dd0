package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/doctor"
)

type backupProofsCmd struct {
	tenantFlags
}

// proofsJSON is the form that scripts read.
type proofsJSON struct {
	act.Proofs
	Each []act.TenantProof `json:"each"`
}

func (c *backupProofsCmd) Run(ctx context.Context, log *slog.Logger) error {
	_, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	var is proofsJSON
	if is.Proofs, err = act.ReadProofs(ctx, d, time.Now().Add(-doctor.ProvedFor)); err != nil {
		return err
	}
	if is.Each, err = act.ListTenantProofs(ctx, d); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, is)
	}
	return printProofs(os.Stdout, is)
}

func printProofs(out io.Writer, is proofsJSON) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "HOSTNAME\tPROVED\tBY\tARCHIVE\tAS OF\tLAST TRIAL FAILED")
	for _, p := range is.Each {
		failed := ""
		if p.FailedAt != nil {
			failed = when(*p.FailedAt) + ": " + p.Problem
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Hostname, provedAt(p.ProvedAt), p.By, p.Archive, whenever(p.MadeAt), failed)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d tenants: %d were never proved restorable, %d not since %s, the last trial of %d failed\n", is.Tenants, is.Never, is.Stale, when(is.Since), is.Failing)
	switch d := is.Deployment; {
	case d == nil:
		fmt.Fprintln(out, "a restored copy of the whole database: never proved ('locus key check --copy FILE --restored URL' does it)")
	case d.FailedAt != nil:
		fmt.Fprintf(out, "a restored copy of the whole database: the last trial failed, %s: %s\n", when(*d.FailedAt), d.Problem)
	default:
		fmt.Fprintf(out, "a restored copy of the whole database: proved %s by %s, as of %s\n", provedAt(d.ProvedAt), d.By, whenever(d.MadeAt))
	}
	for _, k := range is.Keys {
		if _, err := fmt.Fprintf(out, "the copy of master key %d: proved %s\n", k.ID, provedAt(k.ProvedAt)); err != nil {
			return err
		}
	}
	return nil
}

func provedAt(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return when(*at)
}

func whenever(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return when(*at)
}

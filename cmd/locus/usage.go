package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/usage"
)

type usageCmd struct {
	Export usageExportCmd `cmd:"" help:"Print what tenants used, a line a day and tenant. Days are those of UTC, kept for 400 days (docs/usage.md)."`
}

type usageExportCmd struct {
	tenantFlags
	From   string `required:"" placeholder:"DAY" help:"First day, as 2026-01-01."`
	To     string `placeholder:"DAY" help:"Last day; default: yesterday, which is the last that is whole."`
	Tenant string `placeholder:"HOSTNAME" help:"Only one tenant."`
	Format string `enum:"csv,json" default:"csv" help:"csv, with a line of names first, or json, an object a line; default: ${default}."`
}

const usagePage = 1000

func (c *usageExportCmd) Run(ctx context.Context, log *slog.Logger) error {
	p := usage.Period{To: usage.DayOf(time.Now()).AddDate(0, 0, -1)}
	var err error
	if p.From, err = usage.ParseDay(c.From); err != nil {
		return err
	}
	if c.To != "" {
		if p.To, err = usage.ParseDay(c.To); err != nil {
			return err
		}
	}
	if err := p.Check(); err != nil {
		return err
	}
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if c.Tenant != "" {
		t, err := r.Get(ctx, c.Tenant)
		if err != nil {
			return explainTenant(err)
		}
		p.TenantID = t.ID
	}
	out := bufio.NewWriter(os.Stdout)
	write := newUsageWriter(out, c.Format == "json" || c.JSON)
	shown := newProgress()
	defer shown.end()
	lines := 0
	for after, more := (usage.Place{}), true; more; {
		var page []usage.Day
		if page, after, more, err = usage.List(ctx, d, p, after, usagePage); err != nil {
			return err
		}
		for _, day := range page {
			if err := write(day); err != nil {
				return err
			}
		}
		lines += len(page)
		shown.show("exporting usage, at "+after.Day.Format(time.DateOnly), int64(lines), 0)
	}
	return errors.Join(write(usage.Day{}), out.Flush())
}

// newUsageWriter writes days; the zero Day ends what it writes.
func newUsageWriter(out io.Writer, asJSON bool) func(usage.Day) error {
	if asJSON {
		return func(d usage.Day) error {
			if d.TenantID == 0 {
				return nil
			}
			b, err := d.MarshalJSON()
			if err == nil {
				_, err = fmt.Fprintf(out, "%s\n", b)
			}
			return err
		}
	}
	w := csv.NewWriter(out)
	first := w.Write([]string{"day", "tenant_id", "hostname", "requests", "egress_bytes", "accounts", "active_accounts", "records", "record_bytes", "blobs", "blob_bytes", "events", "gauged_at"})
	return func(d usage.Day) error {
		if d.TenantID == 0 {
			w.Flush()
			return errors.Join(first, w.Error())
		}
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		gauged := ""
		if d.GaugedAt != nil {
			gauged = d.GaugedAt.UTC().Format(time.RFC3339)
		}
		return w.Write([]string{
			d.Day.Format(time.DateOnly), number(d.TenantID), d.Hostname, number(d.Requests), number(d.EgressBytes), number(d.Accounts), number(d.ActiveAccounts),
			number(d.Records), number(d.RecordBytes), number(d.Blobs), number(d.BlobBytes), number(d.Events), gauged,
		})
	}
}

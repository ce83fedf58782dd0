package usage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	gaugeEvery = 10 * time.Minute // looks for a day whose gauges nobody has taken
	gaugeBusy  = 10 * time.Minute // afterwards the process that takes them is taken for dead
	gaugePage  = 200              // tenants between two renewals of that
	gaugePause = 2 * time.Millisecond
	pruneRows  = 5000
	writerLife = 7 * 24 * time.Hour // of a process's row, behind its last batch
)

// RunGauges takes the gauges of each day that is over, in one process of all, and deletes days that are too old, until
// ctx ends.
func (m *Meter) RunGauges(ctx context.Context) error {
	tick := time.NewTicker(gaugeEvery)
	defer tick.Stop()
	for {
		if err := m.TakeGauges(ctx); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
			m.log.Warn("not all tenants' usage could be gauged; another look in ten minutes", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// TakeGauges takes those of yesterday, unless another process does or has done so. What is there already is not taken
// again: after a failure it goes on where it ended.
func (m *Meter) TakeGauges(ctx context.Context) error {
	day := DayOf(m.now()).AddDate(0, 0, -1)
	if mine, err := m.hold(ctx, day); err != nil || !mine {
		return err
	}
	all, err := m.tenants.List(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for len(all) > 0 {
		page := all[:min(gaugePage, len(all))]
		all = all[len(page):]
		if err := m.gaugePage(ctx, day, page); err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if mine, err := m.hold(ctx, day); err != nil || !mine {
			return errors.Join(append(failed, err)...)
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	if _, err := m.db.Control().UpdateUsageGaugeDone(ctx, controldb.UpdateUsageGaugeDoneParams{Now: m.now().UTC(), Day: day, Taker: m.writer}); err != nil {
		return fmt.Errorf("end the gauges of %s: %w", day.Format(time.DateOnly), err)
	}
	return m.prune(ctx)
}

// hold says whether this process takes the day's gauges, and goes on to.
func (m *Meter) hold(ctx context.Context, day time.Time) (mine bool, err error) {
	now := m.now().UTC()
	n, err := m.db.Control().LockUsageGauge(ctx, controldb.LockUsageGaugeParams{Day: day, Taker: m.writer, BusyUntil: now.Add(gaugeBusy), Now: now})
	if err != nil {
		return false, fmt.Errorf("take the gauges of %s: %w", day.Format(time.DateOnly), err)
	}
	return n > 0, nil
}

func (m *Meter) gaugePage(ctx context.Context, day time.Time, page []*tenant.Tenant) error {
	ids := make([]int64, len(page))
	for i, t := range page {
		ids[i] = t.ID
	}
	done, err := m.db.Control().ListTenantsGauged(ctx, controldb.ListTenantsGaugedParams{Day: day, TenantIds: ids})
	if err != nil {
		return fmt.Errorf("list gauged tenants: %w", err)
	}
	gauged := map[int64]bool{}
	for _, id := range done {
		gauged[id] = true
	}
	var failed []error
	for _, t := range page {
		if gauged[t.ID] || t.State == tenant.Provisioning || t.State == tenant.TooNew || !t.CreatedAt.Before(day.AddDate(0, 0, 1)) {
			continue
		}
		if err := m.gauge(ctx, day, t); err != nil {
			failed = append(failed, fmt.Errorf("gauge %s: %w", t.Hostname, err))
		}
		select { // others come first
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(gaugePause):
		}
	}
	return errors.Join(failed...)
}

// gauge reads one tenant's, and writes them. The moment is a little after the day's end.
func (m *Meter) gauge(ctx context.Context, day time.Time, t *tenant.Tenant) error {
	g, err := measured(ctx, m.db, t, day, m.now())
	if err != nil {
		return err
	}
	return m.db.Control().UpsertUsageGauges(ctx, controldb.UpsertUsageGaugesParams{
		TenantID: g.TenantID, Day: g.Day, Hostname: g.Hostname, Accounts: g.Accounts, ActiveAccounts: g.ActiveAccounts, Records: g.Records, RecordBytes: g.RecordBytes,
		Blobs: g.Blobs, BlobBytes: g.BlobBytes, Events: g.Events, GaugedAt: g.GaugedAt,
	})
}

// prune deletes days that are kept no longer, and what processes that ended left.
func (m *Meter) prune(ctx context.Context) error {
	q, oldest := m.db.Control(), DayOf(m.now()).AddDate(0, 0, -KeptDays)
	for {
		n, err := q.DeleteUsageDaysBefore(ctx, controldb.DeleteUsageDaysBeforeParams{Day: oldest, MaxRows: pruneRows})
		if err != nil {
			return fmt.Errorf("delete old days of usage: %w", err)
		}
		if n < pruneRows {
			break
		}
	}
	if _, err := q.DeleteUsageGaugesBefore(ctx, oldest); err != nil {
		return fmt.Errorf("delete old gauges: %w", err)
	}
	if _, err := q.DeleteUsageWritersBefore(ctx, m.now().UTC().Add(-writerLife)); err != nil {
		return fmt.Errorf("delete the rows of processes that ended: %w", err)
	}
	return nil
}

// Package usage meters what tenants use, day by day, for billing, and knows which of them are at a quota.
//
// A process counts requests and what it sends in memory and adds that to control.usage_day once a minute; each batch is
// added once, also when its answer was lost. A process that dies loses what it counted since its last batch: a minute at
// most. Accounts, records, files and events are gauges: one process takes them once a day, when the day is over.
//
// All days are those of UTC.
package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
)

// KeptDays is how long the days are kept.
const KeptDays = 400

// Quotas of a tenant, as they are named in logs and lists.
const (
	QuotaAccounts    = "accounts"
	QuotaRecords     = "records"
	QuotaRecordBytes = "record_bytes"
	QuotaBlobBytes   = "blob_bytes"
	QuotaBytes       = "bytes"
	QuotaRequests    = "requests"
)

// Day is what a tenant used on a day. The members behind EgressBytes are gauges.
type Day struct {
	TenantID       int64
	Hostname       string // it had last on that day
	Day            time.Time
	Requests       int64
	EgressBytes    int64 // of answers and streams, as they were sent
	Accounts       int64
	ActiveAccounts int64 // that wrote on that day or since
	Records        int64
	RecordBytes    int64
	Blobs          int64
	BlobBytes      int64
	Events         int64      // of the stream, on that day
	GaugedAt       *time.Time // nil: the gauges are not taken yet, and 0
}

// MarshalJSON writes the day as a date.
func (d Day) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		TenantID       int64      `json:"tenantId"`
		Hostname       string     `json:"hostname"`
		Day            string     `json:"day"`
		Requests       int64      `json:"requests"`
		EgressBytes    int64      `json:"egressBytes"`
		Accounts       int64      `json:"accounts"`
		ActiveAccounts int64      `json:"activeAccounts"`
		Records        int64      `json:"records"`
		RecordBytes    int64      `json:"recordBytes"`
		Blobs          int64      `json:"blobs"`
		BlobBytes      int64      `json:"blobBytes"`
		Events         int64      `json:"events"`
		GaugedAt       *time.Time `json:"gaugedAt,omitempty"`
	}{
		d.TenantID, d.Hostname, d.Day.Format(time.DateOnly), d.Requests, d.EgressBytes, d.Accounts, d.ActiveAccounts,
		d.Records, d.RecordBytes, d.Blobs, d.BlobBytes, d.Events, d.GaugedAt,
	})
}

// DayOf is the day of a moment.
func DayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// ParseDay reads a day as 2026-01-31.
func ParseDay(text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, fmt.Errorf("%w: %.30q is no day like 2026-01-31", ErrPeriod, text)
	}
	return day, nil
}

// ErrPeriod: no days that can be asked for.
var ErrPeriod = errors.New("impossible period")

// Period selects days, the first and the last included, of one tenant or, with 0, of all.
type Period struct {
	From, To time.Time
	TenantID int64
}

// Check refuses what cannot be meant. Errors: [ErrPeriod].
func (p Period) Check() error {
	switch {
	case p.From.IsZero() || p.To.IsZero() || p.To.Before(p.From):
		return fmt.Errorf("%w: it ends before it begins", ErrPeriod)
	case p.To.Sub(p.From) > KeptDays*24*time.Hour:
		return fmt.Errorf("%w: days are kept for %d days", ErrPeriod, KeptDays)
	}
	return nil
}

// Place is where a page ended: the next one goes on behind it. The zero Place is the beginning.
type Place struct {
	Day      time.Time
	TenantID int64
}

// List gives up to limit days, by day and tenant, and where it ended; more says whether there may be others. Errors:
// [ErrPeriod].
func List(ctx context.Context, d *db.DB, p Period, after Place, limit int) (page []Day, end Place, more bool, err error) {
	if err := p.Check(); err != nil {
		return nil, after, false, err
	}
	if after.Day.IsZero() {
		after.Day = p.From.AddDate(0, 0, -1)
	}
	var rows []controldb.UsageDay
	if p.TenantID == 0 {
		rows, err = d.Control().ListUsageDays(ctx, controldb.ListUsageDaysParams{FromDay: p.From, ToDay: p.To, AfterDay: after.Day, After: after.TenantID, MaxRows: int32(limit)})
	} else {
		rows, err = d.Control().ListUsageDaysOfTenant(ctx, controldb.ListUsageDaysOfTenantParams{TenantID: p.TenantID, FromDay: p.From, ToDay: p.To, AfterDay: after.Day, MaxRows: int32(limit)})
	}
	if err != nil {
		return nil, after, false, fmt.Errorf("list usage: %w", err)
	}
	page = make([]Day, len(rows))
	for i, r := range rows {
		page[i] = Day{
			TenantID: r.TenantID, Hostname: r.Hostname, Day: DayOf(r.Day), Requests: r.Requests, EgressBytes: r.EgressBytes, Accounts: r.Accounts, ActiveAccounts: r.ActiveAccounts,
			Records: r.Records, RecordBytes: r.RecordBytes, Blobs: r.Blobs, BlobBytes: r.BlobBytes, Events: r.Events, GaugedAt: r.GaugedAt,
		}
		after = Place{page[i].Day, r.TenantID}
	}
	return page, after, len(rows) == limit, nil
}

// Now is what a tenant has at the moment. The members that are counted through the day are those of today so far, as
// control has them.
func Now(ctx context.Context, d *db.DB, t *tenant.Tenant, now time.Time) (Day, error) {
	today := DayOf(now)
	out, err := measured(ctx, d, t, today, now)
	if err != nil {
		return Day{}, fmt.Errorf("read what %s has: %w", t.Hostname, err)
	}
	page, _, _, err := List(ctx, d, Period{From: today, To: today, TenantID: t.ID}, Place{}, 1)
	if err == nil && len(page) > 0 {
		out.Requests, out.EgressBytes = page[0].Requests, page[0].EgressBytes
	}
	return out, err
}

// measured reads the gauges of a tenant, with the events and the active accounts since day began.
func measured(ctx context.Context, d *db.DB, t *tenant.Tenant, day, now time.Time) (Day, error) {
	q := d.Tenant(t.Schema).Q()
	g, err := q.GetTenantGauge(ctx, int64(repo.NewTID(day, 0)))
	if err != nil {
		return Day{}, err
	}
	events, err := q.CountEvents(ctx, tenantdb.CountEventsParams{Since: day, Until: day.AddDate(0, 0, 1)})
	if err != nil {
		return Day{}, err
	}
	return Day{
		TenantID: t.ID, Hostname: t.Hostname, Day: day, Accounts: g.Accounts, ActiveAccounts: g.Active, Records: g.Records, RecordBytes: g.RecordBytes,
		Blobs: g.Blobs, BlobBytes: g.BlobBytes, Events: events, GaugedAt: new(now.UTC().Truncate(time.Microsecond)),
	}, nil
}

// Reached are the quotas that tenants reached today or yesterday.
func Reached(ctx context.Context, d *db.DB, tenants []int64, now time.Time) (map[int64][]string, error) {
	rows, err := d.Control().ListQuotasReached(ctx, controldb.ListQuotasReachedParams{Since: DayOf(now).AddDate(0, 0, -1), TenantIds: tenants, MaxRows: int32(8 * len(tenants))})
	if err != nil {
		return nil, fmt.Errorf("list quotas reached: %w", err)
	}
	out := map[int64][]string{}
	for _, r := range rows {
		out[r.TenantID] = append(out[r.TenantID], r.Quota)
	}
	return out, nil
}

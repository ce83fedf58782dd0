package due

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Ages are a tenant's settings that dates depend on.
type Ages struct {
	Temporary time.Duration // how long a file without a record stays
	Window    time.Duration // how long events stay; 0: for good
	Crawl     time.Duration // how often relays are told; 0: there are none
}

// Dates are when there is something to do, by kinds.
type Dates map[Kind]time.Time

// LookAt asks a tenant's schema for its dates and promises them. It leaves out what expires.
func (b *Book) LookAt(ctx context.Context, s db.Schema, ages Ages) (Dates, error) {
	row, err := b.db.Tenant(s).Q().GetDueDates(ctx)
	if err != nil {
		return nil, fmt.Errorf("what is due in %s: %w", s, err)
	}
	now := b.now()
	dates := datesOf(&row, ages, now)
	for k, at := range dates {
		b.Mark(s, k, at)
	}
	if ages.Crawl > 0 && row.LastSeq > 0 {
		b.Expect(s, Crawls, now, now.Add(ages.Crawl)) // who looks knows what each relay was told
	}
	return dates, nil
}

func datesOf(row *tenantdb.GetDueDatesRow, ages Ages, now time.Time) Dates {
	out := Dates{}
	add := func(k Kind, at time.Time) {
		if is, ok := out[k]; !ok || at.Before(is) {
			out[k] = at
		}
	}
	there := func(at time.Time) bool { return at.Unix() != 0 }
	if there(row.Mail) {
		add(Mail, row.Mail)
	}
	if there(row.Deletion) {
		add(Accounts, row.Deletion)
	}
	if row.LeftOver {
		add(Accounts, now)
	}
	if there(row.TemporaryBlob) && ages.Temporary > 0 {
		add(Blobs, row.TemporaryBlob.Add(ages.Temporary))
	}
	if there(row.Trash) {
		add(Blobs, row.Trash)
	}
	if row.Misplaced {
		add(Blobs, now)
	}
	if row.FirstEventUs > 0 && ages.Window > 0 {
		add(Events, time.UnixMicro(row.FirstEventUs).Add(ages.Window))
	}
	return out
}

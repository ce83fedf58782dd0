package usage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/tenant"
)

// Flush adds what was counted to control, and learns what quotas need: what other processes have counted, and what
// tenants store. A batch that failed is sent again, under its number, before the next one is made.
func (m *Meter) Flush(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	limited := m.collect()
	for len(m.waiting) > 0 {
		if m.sent == 0 { // else the same again: it may have been added
			m.batch++
			m.sent = min(batchRows, len(m.waiting))
		}
		part := m.waiting[:m.sent]
		totals, err := m.add(ctx, part)
		if err != nil {
			return err
		}
		m.learn(totals)
		m.waiting, m.sent = slices.Clone(m.waiting[len(part):]), 0
	}
	if err := m.learnQuotas(ctx, limited); err != nil {
		return err
	}
	return m.note(ctx)
}

// collect moves what the shards have behind what waits already, and gives the tenants with quotas among those that were
// asked something. What waits is never changed once it was sent: a batch is the same each time.
func (m *Meter) collect() (limited []*tenant.Tenant) {
	var rows []row
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		rows = append(rows, s.old...)
		s.old = nil
		for _, c := range s.of {
			if c.requests != 0 || c.bytes != 0 {
				rows = append(rows, c.row())
				c.before += c.requests
				c.requests, c.bytes = 0, 0
				if c.t.Settings.StorageTenantBytes > 0 || c.t.Settings.RequestTenantDay > 0 {
					limited = append(limited, c.t)
				}
			} else if !c.known && c.t.Settings.RequestTenantDay > 0 || !c.storage.known && c.t.Settings.StorageTenantBytes > 0 {
				limited = append(limited, c.t)
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(rows, func(a, b row) int {
		if a.day != b.day {
			return int(a.day - b.day)
		}
		return int(min(1, max(-1, a.tenant-b.tenant)))
	})
	m.waiting = append(m.waiting, rows...)
	return limited
}

// add puts one batch into control, once. The rows of one batch are of one tenant and day each: a tenant's two days are
// two rows.
func (m *Meter) add(ctx context.Context, part []row) (totals []controldb.UpsertUsageCountsRow, err error) {
	var in controldb.UpsertUsageCountsParams
	for _, r := range merged(part) {
		in.TenantIds = append(in.TenantIds, r.tenant)
		in.Days = append(in.Days, dayTime(r.day))
		in.Hostnames = append(in.Hostnames, r.hostname)
		in.Requests = append(in.Requests, r.requests)
		in.EgressBytes = append(in.EgressBytes, r.bytes)
	}
	err = m.db.ControlTx(ctx, func(q *controldb.Queries) error {
		totals = nil
		fresh, err := q.LockUsageWriter(ctx, controldb.LockUsageWriterParams{Writer: m.writer, Batch: m.batch, At: m.now().UTC()})
		if err != nil || fresh == 0 { // it had been added, and only the answer was lost
			return err
		}
		totals, err = q.UpsertUsageCounts(ctx, in)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("add usage: %w", err)
	}
	return totals, nil
}

// merged adds up rows of the same tenant and day, which one statement must not change twice, and brings them into the
// order in which every process locks them.
func merged(part []row) []row {
	type key struct{ tenant, day int64 }
	at := map[key]int{}
	var out []row
	for _, r := range part {
		k := key{r.tenant, r.day}
		if i, ok := at[k]; ok {
			out[i].requests += r.requests
			out[i].bytes += r.bytes
			out[i].hostname = r.hostname
			continue
		}
		at[k] = len(out)
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b row) int {
		if a.tenant != b.tenant {
			return int(min(1, max(-1, a.tenant-b.tenant)))
		}
		return int(a.day - b.day)
	})
	return out
}

// learn takes over what control has of today. Requests that were counted meanwhile come on top.
func (m *Meter) learn(totals []controldb.UpsertUsageCountsRow) {
	for _, r := range totals {
		m.learnRequests(r.TenantID, dayNumber(r.Day), r.Requests)
	}
}

func (m *Meter) learnRequests(id, day, requests int64) {
	s := &m.shards[uint64(id)%shardsOf]
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.of[id]; c != nil && c.day == day {
		c.before, c.known = requests, true
	}
}

// learnQuotas reads what tenants with quotas store and were asked.
func (m *Meter) learnQuotas(ctx context.Context, limited []*tenant.Tenant) error {
	if len(limited) == 0 {
		return nil
	}
	ids := make([]int64, len(limited))
	for i, t := range limited {
		ids[i] = t.ID
	}
	today := dayNumber(m.now())
	rows, err := m.db.Control().ListUsageRequests(ctx, controldb.ListUsageRequestsParams{Day: dayTime(today), TenantIds: ids})
	if err != nil {
		return fmt.Errorf("read requests of the day: %w", err)
	}
	for _, id := range ids { // those without a row were not asked yet
		m.knowRequests(id, today)
	}
	for _, r := range rows {
		m.learnRequests(r.TenantID, today, r.Requests)
	}
	for _, t := range limited {
		if t.Settings.StorageTenantBytes == 0 {
			continue
		}
		row, err := m.db.Tenant(t.Schema).Q().GetStorage(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			m.log.Warn("what a tenant stores cannot be read; its quota goes by what was known", "tenant", t.Hostname, "err", err)
			continue
		}
		s := &m.shards[uint64(t.ID)%shardsOf]
		s.mu.Lock()
		if c := s.of[t.ID]; c != nil {
			c.storage = storage{true, row.RecordBytes, row.BlobBytes}
		}
		s.mu.Unlock()
	}
	return nil
}

func (m *Meter) knowRequests(id, day int64) {
	s := &m.shards[uint64(id)%shardsOf]
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.of[id]; c != nil && c.day == day {
		c.known = true
	}
}

// note writes down which quotas were reached: the row in the list, and once a day a line of the log.
func (m *Meter) note(ctx context.Context) error {
	m.noting.Lock()
	list := m.reached
	m.reached = nil
	m.noting.Unlock()
	for i, r := range list {
		if err := m.noteOne(ctx, r); err != nil {
			m.noting.Lock()
			m.reached = append(slices.Clone(list[i:]), m.reached...)
			m.noting.Unlock()
			return err
		}
	}
	return nil
}

func (m *Meter) noteOne(ctx context.Context, r reached) error {
	err := m.db.ControlTx(ctx, func(q *controldb.Queries) error {
		at := r.at.UTC().Truncate(time.Microsecond)
		first, err := q.UpsertQuotaReached(ctx, controldb.UpsertQuotaReachedParams{TenantID: r.t.ID, Quota: r.quota, Day: DayOf(at), At: at})
		if err != nil || first == 0 {
			return err
		}
		e := audit.DeploymentEntry{Entry: audit.Entry{At: at, Who: "locus", Action: "quota reached", Subject: r.t.Hostname}, TenantID: r.t.ID}
		id, err := audit.Begin(ctx, q, e, 0, map[string]any{"quota": r.quota, "limit": r.limit})
		if err != nil {
			return err
		}
		return audit.End(ctx, q, id, audit.Done, r.t.ID)
	})
	if err != nil {
		return fmt.Errorf("note the quota of %s: %w", r.t.Hostname, err)
	}
	return nil
}

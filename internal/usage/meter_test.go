package usage_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
)

type clock struct{ at atomic.Int64 }

func (c *clock) Now() time.Time      { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type place struct {
	t     *testing.T
	db    *db.DB
	r     *tenant.Registry
	clock *clock
}

func at(t *testing.T, url string) *place {
	t.Helper()
	p := &place{t: t, db: dbtest.Open(t, url), clock: new(clock)}
	p.clock.at.Store(noon.UnixNano())
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	p.r = tenant.NewRegistry(p.db, keys, tenant.Config{Scheme: "http", Dev: true}, p.clock.Now, slog.New(slog.DiscardHandler))
	return p
}

func (p *place) tenant(host string, settings map[string]string) *tenant.Tenant {
	p.t.Helper()
	made, err := p.r.Create(p.t.Context(), tenant.Spec{Hostname: host, Settings: settings})
	if err != nil {
		p.t.Fatal(err)
	}
	return made
}

func (p *place) meter() *usage.Meter {
	return usage.NewMeter(p.db, p.r, p.clock.Now, slog.New(slog.DiscardHandler))
}

func (p *place) days(tenantID int64) string {
	p.t.Helper()
	page, _, more, err := usage.List(p.t.Context(), p.db, usage.Period{From: noon.AddDate(0, 0, -2), To: noon.AddDate(0, 0, 5), TenantID: tenantID}, usage.Place{}, 100)
	if err != nil || more {
		p.t.Fatal(more, err)
	}
	out := ""
	for _, d := range page {
		out += fmt.Sprintf("%s %s %d/%d;", d.Day.Format("02"), d.Hostname, d.Requests, d.EgressBytes)
	}
	return out
}

func (p *place) flush(m *usage.Meter) {
	p.t.Helper()
	if err := m.Flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// Two processes count the same tenants at once, while both add: nothing is lost, nothing twice, and each day is its own.
func TestCounts(t *testing.T) {
	p := at(t, dbtest.URL(t))
	a, b := p.tenant("a.test", nil), p.tenant("b.test", nil)
	meters := []*usage.Meter{p.meter(), p.meter()}
	var all sync.WaitGroup
	for _, m := range meters {
		for range 4 {
			all.Go(func() {
				for i := range 500 {
					m.Count(a, 1, 10, p.clock.Now())
					if i%2 == 0 {
						m.Count(b, 1, 0, p.clock.Now())
					}
					if i%100 == 0 {
						if err := m.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	all.Wait()
	p.clock.add(24 * time.Hour)
	meters[0].Count(a, 1, 1, p.clock.Now())
	for _, m := range meters {
		m.Close()
		m.Close() // there is nothing left
	}
	if got := p.days(0); got != "01 a.test 4000/40000;01 b.test 2000/0;02 a.test 1/1;" {
		t.Error(got)
	}
	if got := p.days(b.ID); got != "01 b.test 2000/0;" {
		t.Error(got)
	}
}

// A batch whose answer was lost is sent again and added once, also when there is more by then.
func TestLostAnswer(t *testing.T) {
	for name, cut := range map[string]func(*dbtest.Proxy){
		"before": func(x *dbtest.Proxy) { x.CutBefore(3) }, // 3: the insert
		"commit": func(x *dbtest.Proxy) { x.CutAfterText("commit") },
	} {
		t.Run(name, func(t *testing.T) {
			url := dbtest.URL(t)
			x := dbtest.NewProxy(t, url)
			p := at(t, x.URL())
			a := p.tenant("a.test", nil)
			m := p.meter()
			m.Count(a, 3, 30, p.clock.Now())
			p.flush(m)
			m.Count(a, 4, 40, p.clock.Now())
			cut(x)
			err := m.Flush(t.Context())
			if x.Disarm() == 0 || err == nil {
				t.Fatalf("nothing was cut: %v", err)
			}
			m.Count(a, 5, 50, p.clock.Now())
			p.flush(m)
			p.flush(m)
			if got := p.days(a.ID); got != "01 a.test 12/120;" {
				t.Error(got)
			}
		})
	}
}

// A process that starts knows what others counted once it has looked, and a quota's line is written once a day by all.
func TestRequestsOfOthers(t *testing.T) {
	p := at(t, dbtest.URL(t))
	a := p.tenant("a.test", map[string]string{"request_tenant_day": "10"})
	first, second := p.meter(), p.meter()
	first.Count(a, 9, 0, p.clock.Now())
	if err := first.MayAdd(a); err != nil {
		t.Error(err)
	}
	p.flush(first)
	second.Count(a, 2, 0, p.clock.Now())
	if err := second.MayAdd(a); err != nil { // it has heard of nobody yet
		t.Error(err)
	}
	p.flush(second)
	if second.RequestsToday(a) != 11 || second.MayAdd(a) == nil {
		t.Errorf("%d requests, %v", second.RequestsToday(a), second.MayAdd(a))
	}
	first.Count(a, 1, 0, p.clock.Now())
	p.flush(first)
	if first.RequestsToday(a) != 12 || first.MayAdd(a) == nil {
		t.Errorf("%d requests, %v", first.RequestsToday(a), first.MayAdd(a))
	}
	p.flush(first)
	p.flush(second)
	lines := func() int {
		page, _, err := audit.ListDeployment(t.Context(), p.db.Control(), audit.DeploymentFilter{TenantID: a.ID, Action: "quota reached"}, 10, func(int16) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	if got := lines(); got != 1 {
		t.Errorf("%d lines", got)
	}
	p.clock.add(24 * time.Hour)
	if err := first.MayAdd(a); err != nil {
		t.Errorf("the next day: %v", err)
	}
	first.Count(a, 11, 0, p.clock.Now())
	if first.MayAdd(a) == nil {
		t.Error("the next day has no quota")
	}
	p.flush(first)
	if got := lines(); got != 2 {
		t.Errorf("%d lines", got)
	}
}

// The gauges of a day are taken once, by one process, and whoever goes on after a failure takes those that are missing.
func TestGauges(t *testing.T) {
	p := at(t, dbtest.URL(t))
	a := p.tenant("a.test", nil)
	p.tenant("b.test", nil)
	p.clock.add(24 * time.Hour)
	p.tenant("young.test", nil) // it was not there yesterday
	var all sync.WaitGroup
	for range 3 {
		m := p.meter()
		all.Go(func() {
			if err := m.TakeGauges(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	page, _, _, err := usage.List(t.Context(), p.db, usage.Period{From: noon.AddDate(0, 0, -9), To: noon.AddDate(0, 0, 9)}, usage.Place{}, 10)
	if err != nil || len(page) != 2 {
		t.Fatalf("%v %v", page, err)
	}
	for _, d := range page {
		if d.GaugedAt == nil || d.Day != usage.DayOf(noon) || d.Accounts != 0 {
			t.Errorf("%+v", d)
		}
	}
	before := *page[0].GaugedAt
	p.clock.add(time.Hour)
	if err := p.meter().TakeGauges(t.Context()); err != nil {
		t.Error(err)
	}
	page, end, more, err := usage.List(t.Context(), p.db, usage.Period{From: noon, To: noon}, usage.Place{}, 1)
	if err != nil || len(page) != 1 || !more || page[0].TenantID != a.ID || !page[0].GaugedAt.Equal(before) {
		t.Errorf("%v %v %v", page, more, err)
	}
	if page, _, more, err = usage.List(t.Context(), p.db, usage.Period{From: noon, To: noon}, end, 1); err != nil || len(page) != 1 || page[0].Hostname != "b.test" {
		t.Errorf("%v %v %v", page, more, err)
	}
	p.clock.add((usage.KeptDays + 3) * 24 * time.Hour)
	if err := p.meter().TakeGauges(t.Context()); err != nil {
		t.Error(err)
	}
	if page, _, _, err = usage.List(t.Context(), p.db, usage.Period{From: noon, To: noon}, usage.Place{}, 1); err != nil || len(page) != 0 {
		t.Errorf("%v %v", page, err)
	}
}

func BenchmarkCount(b *testing.B) {
	m := usage.NewMeter(nil, nil, time.Now, slog.New(slog.DiscardHandler))
	t := &tenant.Tenant{ID: 7}
	b.ReportAllocs()
	for b.Loop() {
		now := time.Now()
		m.Count(t, 1, 0, now)
		m.Count(t, 0, 1000, now)
	}
}

package metrics_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/metrics"
)

func shown(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// TestTenantsAreBounded: those who were named are shown, and of the others the busiest, however many there are.
func TestTenantsAreBounded(t *testing.T) {
	choice, err := metrics.ParseTenants("named.example, busiest:2")
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New("v", choice)
	ask := func(tenant string, n int) {
		for range n {
			m.Observe(metrics.Request{Method: "m", Class: "public", Code: 204, Took: time.Second, Tenant: tenant, Bytes: 10})
		}
	}
	for i := range 500 {
		ask(fmt.Sprintf("t%d.example", i), 1)
	}
	ask("named.example", 1)
	ask("busy.example", 5)
	ask("busier.example", 7)
	text := shown(m)
	for _, line := range []string{
		`locus_tenant_requests_total{code_class="2xx",tenant="busier.example"} 7`,
		`locus_tenant_requests_total{code_class="2xx",tenant="busy.example"} 5`,
		`locus_tenant_requests_total{code_class="2xx",tenant="named.example"} 1`,
		`locus_tenant_answer_bytes_total{tenant="busy.example"} 50`,
		`locus_tenant_request_seconds_total{tenant="busy.example"} 5`,
		`locus_requests_total{class="public",code="204",method="m"} 513`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	if n := strings.Count(text, "locus_tenant_requests_total{"); n != 3 {
		t.Errorf("%d tenants are shown", n)
	}
	if strings.Contains(shown(metrics.New("v", metrics.Tenants{})), "locus_tenant_requests") {
		t.Error("tenants are shown though nobody chose any")
	}
}

// TestBusiestChange: who was busy long ago makes room.
func TestBusiestChange(t *testing.T) {
	choice := metrics.Tenants{Busiest: 1}
	m := metrics.New("v", choice)
	now := time.Unix(0, 0)
	m.At(func() time.Time { return now })
	count := func(tenant string, n int) {
		for range n {
			m.Observe(metrics.Request{Method: "m", Tenant: tenant, Code: 200})
		}
	}
	count("early.example", 100)
	if text := shown(m); !strings.Contains(text, `tenant="early.example"} 100`) {
		t.Error(text)
	}
	now = now.Add(time.Hour)
	count("late.example", 10)
	if text := shown(m); !strings.Contains(text, `tenant="late.example"} 10`) || strings.Contains(text, "early.example") {
		t.Error(text)
	}
}

func TestParseTenants(t *testing.T) {
	for _, text := range []string{"busiest:0", "busiest:x", "https://a", "busiest:201", strings.Repeat("a.example,", 201)} {
		if _, err := metrics.ParseTenants(text); !errors.Is(err, metrics.ErrTenants) {
			t.Errorf("%.20s: %v", text, err)
		}
	}
	if got, err := metrics.ParseTenants(""); err != nil || got.Busiest != 0 || got.Named != nil {
		t.Error(got, err)
	}
}

// TestSizes: counts of sizes become a histogram.
func TestSizes(t *testing.T) {
	m := metrics.New("v", metrics.Tenants{})
	m.ShowSizes("sizes", "Sizes.", func() ([]int, []int64, float64) { return []int{1, 4}, []int64{3, 2, 1}, 20 })
	text := shown(m)
	for _, line := range []string{`locus_sizes_bucket{le="1"} 3`, `locus_sizes_bucket{le="4"} 5`, `locus_sizes_bucket{le="+Inf"} 6`, "locus_sizes_sum 20", "locus_sizes_count 6"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, text)
		}
	}
}

// BenchmarkObserve is what counting costs a request.
func BenchmarkObserve(b *testing.B) {
	for name, choice := range map[string]metrics.Tenants{"plain": {}, "busiest": {Busiest: 20}} {
		b.Run(name, func(b *testing.B) {
			m := metrics.New("v", choice)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					m.Observe(metrics.Request{Method: "com.atproto.repo.getRecord", Class: "public", Code: 200, Took: time.Millisecond, Tenant: "pds.example.com", Bytes: 900})
				}
			})
		})
	}
}

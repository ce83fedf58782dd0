package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Tenants is the choice of tenants that have numbers of their own. The zero value is none.
type Tenants struct {
	Named   []string // hostnames
	Busiest int      // and so many of those that are asked most
}

// MostTenants bounds the choice: each has a handful of series, in every process.
const MostTenants = 200

// ErrTenants: not a choice of tenants.
var ErrTenants = errors.New("not a choice of tenants: hostnames separated by commas, or busiest:N, or both")

// ParseTenants reads a choice: "pds.example.com,busiest:10". Errors: [ErrTenants].
func ParseTenants(text string) (t Tenants, err error) {
	for field := range strings.SplitSeq(text, ",") {
		field = strings.TrimSpace(field)
		number, busiest := strings.CutPrefix(field, "busiest:")
		switch {
		case field == "":
		case busiest:
			if t.Busiest, err = strconv.Atoi(number); err != nil || t.Busiest < 1 {
				return Tenants{}, fmt.Errorf("%w: %q", ErrTenants, field)
			}
		case strings.ContainsAny(field, " :/"):
			return Tenants{}, fmt.Errorf("%w: %q", ErrTenants, field)
		default:
			t.Named = append(t.Named, strings.ToLower(field))
		}
	}
	if len(t.Named)+t.Busiest > MostTenants {
		return Tenants{}, fmt.Errorf("%w: %d at most", ErrTenants, MostTenants)
	}
	return t, nil
}

func (t Tenants) on() bool { return len(t.Named) > 0 || t.Busiest > 0 }

// scoreHalf is after what time what a tenant was asked counts half, when the busiest are looked for.
const scoreHalf = 5 * time.Minute

// tenants counts by tenant: of all, because who is busiest is known only then, but it shows those that were chosen.
type tenants struct {
	choice Tenants
	now    func() time.Time
	all    sync.Map // hostname → *tenant

	requests, bytes, seconds *prometheus.Desc

	mu     sync.Mutex
	scored time.Time
}

// tenant is what one was asked.
type tenant struct {
	named   bool
	classes [6]atomic.Int64 // by the first digit of the status
	bytes   atomic.Int64
	nanos   atomic.Int64

	last  int64 // requests, when score was made; both under tenants.mu
	score float64
}

func newTenants(choice Tenants) *tenants {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("locus_tenant_"+name, help, append([]string{"tenant"}, labels...), nil)
	}
	return &tenants{
		choice: choice, now: time.Now,
		requests: desc("requests_total", "Requests answered, of the tenants that --metrics-tenants chose, by the class of the status.", "code_class"),
		bytes:    desc("answer_bytes_total", "Bytes of their answers."),
		seconds:  desc("request_seconds_total", "Time that their answers took, streams left out."),
	}
}

func (t *tenants) count(r Request) {
	one, ok := t.all.Load(r.Tenant)
	if !ok {
		if t.choice.Busiest == 0 && !slices.Contains(t.choice.Named, r.Tenant) {
			return
		}
		one, _ = t.all.LoadOrStore(r.Tenant, &tenant{named: slices.Contains(t.choice.Named, r.Tenant)})
	}
	c := one.(*tenant)
	c.classes[min(max(r.Code/100, 0), 5)].Add(1)
	c.bytes.Add(r.Bytes)
	if !r.Stream {
		c.nanos.Add(int64(r.Took))
	}
}

func (t *tenants) Describe(c chan<- *prometheus.Desc) {
	c <- t.requests
	c <- t.bytes
	c <- t.seconds
}

func (t *tenants) Collect(c chan<- prometheus.Metric) {
	for name, one := range t.chosen() {
		for class := range one.classes {
			if n := one.classes[class].Load(); n > 0 {
				c <- prometheus.MustNewConstMetric(t.requests, Counter, float64(n), name, strconv.Itoa(class)+"xx")
			}
		}
		c <- prometheus.MustNewConstMetric(t.bytes, Counter, float64(one.bytes.Load()), name)
		c <- prometheus.MustNewConstMetric(t.seconds, Counter, float64(one.nanos.Load())/1e9, name)
	}
}

// chosen are those who were named, and the busiest of the last minutes.
func (t *tenants) chosen() map[string]*tenant {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	fade := math.Exp2(-now.Sub(t.scored).Seconds() / scoreHalf.Seconds())
	t.scored = now
	type scored struct {
		name string
		of   *tenant
	}
	out := map[string]*tenant{}
	var others []scored
	t.all.Range(func(key, value any) bool {
		one := value.(*tenant)
		n := int64(0)
		for i := range one.classes {
			n += one.classes[i].Load()
		}
		one.score = one.score*fade + float64(n-one.last)
		one.last = n
		if one.named {
			out[key.(string)] = one
		} else {
			others = append(others, scored{key.(string), one})
		}
		return true
	})
	slices.SortFunc(others, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.of.score, a.of.score), strings.Compare(a.name, b.name))
	})
	for _, s := range others[:min(len(others), t.choice.Busiest)] {
		out[s.name] = s.of
	}
	return out
}

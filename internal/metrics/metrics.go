// Package metrics counts what a process does and shows it in the text form that Prometheus reads.
//
// It knows no other room: who starts a server tells it where the numbers are. Every name begins with "locus_". A label
// has few values, all known before anybody calls: a method's name, a status, a part of the process. Nothing that a
// stranger chooses becomes one. Of tenants there are thousands, so they are labels only by a bounded choice ([Tenants]).
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// buckets of the time that answers take, in seconds: from a read out of memory to what clients do not wait for.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Metrics are a process's numbers. All methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	calls    *prometheus.HistogramVec
	tenants  *tenants // nil: no tenant is a label

	// What a request adds to, found without building a key of text each time.
	codes   sync.Map // codeKey → prometheus.Counter
	methods sync.Map // method → prometheus.Observer
}

type codeKey struct {
	method string
	code   int
}

// New makes the numbers of a process of this version. Those of the process itself and of the Go runtime are among them.
func New(version string, choice Tenants) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "locus_requests_total",
			Help: "Requests answered, by method, who may call it, and status. Method is an XRPC method of this server, \"other\" or \"page\"; code 0 is an answer that never began.",
		}, []string{"method", "class", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "locus_request_seconds",
			Help:    "Time from the head of a request to the end of its answer, by method. Streams are not in it.",
			Buckets: buckets,
		}, []string{"method"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "locus_upstream_seconds",
			Help:    "Time until other services answered, by service and what came of it: a class of status, or error for none. Service is the host of one that an operator named, \"plc\", \"public\" for those that DID documents name, or \"other\".",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"service", "outcome"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "locus_build_info", Help: "1; the version is its label.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.calls.WithLabelValues("public", "2xx") // a number that is there from the start can be alerted on
	m.registry.MustRegister(m.requests, m.seconds, m.calls, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if choice.on() {
		m.tenants = newTenants(choice)
		m.registry.MustRegister(m.tenants)
	}
	return m
}

// Request is an answer to be counted.
type Request struct {
	Method, Class string // few values, all known before anybody calls
	Code          int
	Took          time.Duration
	Stream        bool // it took as long as somebody listened, so its time says nothing
	Tenant        string
	Bytes         int64
}

// Observe counts an answer.
func (m *Metrics) Observe(r Request) {
	key := codeKey{r.Method, r.Code}
	counter, ok := m.codes.Load(key)
	if !ok {
		counter, _ = m.codes.LoadOrStore(key, m.requests.WithLabelValues(r.Method, r.Class, strconv.Itoa(r.Code)))
	}
	counter.(prometheus.Counter).Inc()
	if !r.Stream {
		seconds, ok := m.methods.Load(r.Method)
		if !ok {
			seconds, _ = m.methods.LoadOrStore(r.Method, m.seconds.WithLabelValues(r.Method))
		}
		seconds.(prometheus.Observer).Observe(r.Took.Seconds())
	}
	if m.tenants != nil && r.Tenant != "" {
		m.tenants.count(r)
	}
}

// Called counts a call of another service; outcome is one of a few.
func (m *Metrics) Called(service, outcome string, took time.Duration) {
	m.calls.WithLabelValues(service, outcome).Observe(took.Seconds())
}

// Kind is what a number is.
type Kind = prometheus.ValueType

// The kinds: a number that goes up and down, and one that only grows.
const (
	Gauge   = prometheus.GaugeValue
	Counter = prometheus.CounterValue
)

// Show shows a number. read is called when somebody looks: it must be quick and must not ask the database.
func (m *Metrics) Show(kind Kind, name, help string, read func() float64) {
	m.ShowBy(kind, name, help, nil, func(emit func(float64, ...string)) { emit(read()) })
}

// ShowBy shows a number for each value of some labels, of which there are few. read hands each to emit.
func (m *Metrics) ShowBy(kind Kind, name, help string, labels []string, read func(emit func(value float64, labels ...string))) {
	m.registry.MustRegister(&shown{kind: kind, desc: prometheus.NewDesc("locus_"+name, help, labels, nil), read: read})
}

type shown struct {
	kind Kind
	desc *prometheus.Desc
	read func(func(float64, ...string))
}

func (s *shown) Describe(c chan<- *prometheus.Desc) { c <- s.desc }

func (s *shown) Collect(c chan<- prometheus.Metric) {
	s.read(func(value float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(s.desc, s.kind, value, labels...)
	})
}

// ShowSizes shows how often something had which size: read gives the upper ends and how often each was the least that
// held, with one count more for what was larger than all; and the sum of all sizes.
func (m *Metrics) ShowSizes(name, help string, read func() (upTo []int, counts []int64, sum float64)) {
	m.registry.MustRegister(&sizes{desc: prometheus.NewDesc("locus_"+name, help, nil, nil), read: read})
}

type sizes struct {
	desc *prometheus.Desc
	read func() ([]int, []int64, float64)
}

func (s *sizes) Describe(c chan<- *prometheus.Desc) { c <- s.desc }

func (s *sizes) Collect(c chan<- prometheus.Metric) {
	upTo, counts, sum := s.read()
	ends, all := make(map[float64]uint64, len(upTo)), uint64(0)
	for i, end := range upTo {
		all += uint64(counts[i])
		ends[float64(end)] = all
	}
	c <- prometheus.MustNewConstHistogram(s.desc, all+uint64(counts[len(upTo)]), sum, ends)
}

// Described is a metric that is shown.
type Described struct{ Name, Kind, Help string }

// Described lists what is shown now, by name.
func (m *Metrics) Described() ([]Described, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	out := make([]Described, len(families))
	for i, f := range families {
		out[i] = Described{f.GetName(), strings.ToLower(f.GetType().String()), f.GetHelp()}
	}
	return out, nil
}

// Handler answers GET with all numbers.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

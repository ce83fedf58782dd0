// Package metrics counts what a process does and shows it in the text form that Prometheus reads.
//
// It knows no other room: who starts a server tells it where the numbers are. Every name begins with "locus_". A label
// has few values, all known before anybody calls: a method's name, a status, a part of the process. Nothing that a
// stranger chooses becomes one, and neither does a tenant, of which there are thousands.
package metrics

import (
	"net/http"
	"strconv"
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
}

// New makes the numbers of a process of this version. Those of the process itself and of the Go runtime are among them.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "locus_requests_total",
			Help: "Requests answered, by method and status. Method is an XRPC method of this server, \"other\" or \"page\"; status 0 is an answer that never began.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "locus_request_seconds",
			Help:    "Time from the head of a request to the end of its answer, by method. Streams are not in it.",
			Buckets: buckets,
		}, []string{"method"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "locus_build_info", Help: "1; the version is its label.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts an answer. A stream, which took as long as somebody listened, has no time: took is negative.
func (m *Metrics) Observe(method string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, strconv.Itoa(status)).Inc()
	if took >= 0 {
		m.seconds.WithLabelValues(method).Observe(took.Seconds())
	}
}

// Gauge shows a number that goes up and down. read is called when somebody looks: it must be quick and must not ask
// the database.
func (m *Metrics) Gauge(name, help string, read func() float64) { Of{m: m}.Gauge(name, help, read) }

// Counter shows a number that only grows, as Gauge does.
func (m *Metrics) Counter(name, help string, read func() float64) { Of{m: m}.Counter(name, help, read) }

// Of is Gauge or Counter with a label whose value is known at the start: the same name may be shown once for each.
type Of struct {
	m     *Metrics
	label prometheus.Labels
}

// Of names a part of the process, such as one of its pools.
func (m *Metrics) Of(label, value string) Of {
	return Of{m, prometheus.Labels{label: value}}
}

// Gauge is [Metrics.Gauge] of this part.
func (o Of) Gauge(name, help string, read func() float64) {
	o.m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "locus_" + name, Help: help, ConstLabels: o.label}, read))
}

// Counter is [Metrics.Counter] of this part.
func (o Of) Counter(name, help string, read func() float64) {
	o.m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "locus_" + name, Help: help, ConstLabels: o.label}, read))
}

// Handler answers GET with all numbers.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
)

// The methods that proxied calls are of: no server has them, so each hands them on to the service it is set up with.
const (
	proxiedMethod    = "com.example.bench.getAnswer"
	proxiedNewMethod = "com.example.bench.getAnswerN" + numberMark
)

// proxied calls a method of the stand-in through the PDS; the token that the PDS makes for the stand-in may serve again.
func proxied(p *plan, client int) (source, error) {
	ts, err := p.proxied(proxiedMethod, 0)
	if err != nil {
		return nil, err
	}
	return random(ts, client, nil), nil
}

// proxiedNew calls another method each time, which takes another token.
func proxiedNew(p *plan, client int) (source, error) {
	ts, err := p.proxied(proxiedNewMethod, 1)
	if err != nil {
		return nil, err
	}
	// Numbers must not come again in a run at another number of clients: a token made there may still serve.
	n := firstNumber(client) + rand.Int64N(5_000_000)
	return random(ts, client, func(t *template, _ *rand.Rand) { t.number(n); n++ }), nil
}

// proxied makes the templates of all accounts.
func (p *plan) proxied(method string, numbers int) ([]*template, error) {
	ts := make([]*template, len(p.accounts))
	for i, a := range p.accounts {
		var err error
		if ts[i], err = newTemplate(p.t.encode("GET", method, "size="+strconv.Itoa(p.answerSize), a.bearer(), "", nil), i, numbers, 0); err != nil {
			return nil, err
		}
	}
	return ts, nil
}

// direct is what proxied calls are compared with: the same answers, from the stand-in itself.
var direct = &workload{name: "direct", source: func(p *plan, client int) (source, error) {
	t, err := newTemplate(p.t.encode("GET", proxiedMethod, "size="+strconv.Itoa(p.answerSize), "", "", nil), 0, 0, 0)
	if err != nil {
		return nil, err
	}
	return turns([]*template{t}, client), nil
}}

// A directResult says what the calls cost without the PDS, measured just before, and what the PDS adds.
type directResult struct {
	Throughput  float64   `json:"operations_per_second"`
	MBPerSecond float64   `json:"mb_per_second"`
	Latency     latencyMS `json:"latency_ms"`
	AddedP50    float64   `json:"added_p50_ms"`
	AddedP99    float64   `json:"added_p99_ms"`
	Share       float64   `json:"share_of_direct_rate"`
}

// runDirect measures the stand-in, for half as long as the PDS will be.
func (r *runCmd) runDirect(ctx context.Context, through *load, upstream *target) (*result, error) {
	p := *through.plan
	p.t, p.accounts = upstream, nil
	l := &load{plan: &p, work: direct, warmup: through.warmup / 2, duration: through.duration / 2, requests: through.requests, length: through.length, proc: through.proc, now: through.now}
	res, err := l.run(ctx)
	if err == nil && (res.Operations == 0 || res.Errors > 0) {
		err = fmt.Errorf("the stand-in itself: %d operations, %d errors", res.Operations, res.Errors)
	}
	return res, err
}

// beside completes a result with what was measured without the PDS.
func (r *result) beside(d *result) {
	r.Direct = &directResult{
		Throughput: d.Throughput, MBPerSecond: d.MBPerSecond, Latency: d.Latency,
		AddedP50: r.Latency.P50 - d.Latency.P50, AddedP99: r.Latency.P99 - d.Latency.P99,
	}
	if d.MBPerSecond > 0 {
		r.Direct.Share = r.MBPerSecond / d.MBPerSecond
	}
}

func (d *directResult) print(w io.Writer) {
	fmt.Fprintf(w, "  direct      %.1f/s  %.2f MB/s  p50 %.2f  p99 %.2f  added p50 %.2f  p99 %.2f  share %.2f\n",
		d.Throughput, d.MBPerSecond, d.Latency.P50, d.Latency.P99, d.AddedP50, d.AddedP99, d.Share)
}

// validateProxied looks at the flags of proxied calls.
func (r *runCmd) validateProxied() error {
	if !strings.HasPrefix(r.Workload, "proxied") {
		return nil
	}
	if r.Upstream == "" {
		return errors.New("--upstream must say where the stand-in is, or is to be, that the server hands calls on to")
	}
	if len(r.AnswerSizes) == 0 || len(r.AnswerSizes) > 16 {
		return errors.New("--answer-sizes takes one to 16 numbers")
	}
	for _, n := range r.AnswerSizes {
		if n < 100 || n > maxUpstreamAnswer {
			return fmt.Errorf("--answer-sizes must be 100 to %d", maxUpstreamAnswer)
		}
	}
	return nil
}

package trace_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/trace"
)

// TestEnvironment: OpenTelemetry's own variables, as its specification has them.
func TestEnvironment(t *testing.T) {
	for said, want := range map[string]string{
		"":                                     `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=0`,
		"EXPORTER_OTLP_ENDPOINT=http://a:4318": `url=http://a:4318/v1/traces headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=0`,
		"EXPORTER_OTLP_ENDPOINT=https://a/base/ EXPORTER_OTLP_HEADERS=api-key=a%20b,x=y":                                                             `url=https://a/base/v1/traces headers=map[api-key:a b x:y] plain=false service= resource=map[] sample=- alone=false remarks=0`,
		"EXPORTER_OTLP_ENDPOINT=http://a EXPORTER_OTLP_TRACES_ENDPOINT=http://b/as-it-is EXPORTER_OTLP_HEADERS=a=1 EXPORTER_OTLP_TRACES_HEADERS=b=2": `url=http://b/as-it-is headers=map[b:2] plain=false service= resource=map[] sample=- alone=false remarks=0`,
		"SERVICE_NAME=pds RESOURCE_ATTRIBUTES=service.name=other,deployment.environment=a%2Cb EXPORTER_OTLP_COMPRESSION=none":                        `url= headers=map[] plain=true service=pds resource=map[deployment.environment:a,b service.name:other] sample=- alone=false remarks=0`,
		"TRACES_SAMPLER=always_on":                                                        `url= headers=map[] plain=false service= resource=map[] sample=1 alone=true remarks=0`,
		"TRACES_SAMPLER=parentbased_always_off":                                           `url= headers=map[] plain=false service= resource=map[] sample=0 alone=false remarks=0`,
		"TRACES_SAMPLER=parentbased_traceidratio TRACES_SAMPLER_ARG=0.25":                 `url= headers=map[] plain=false service= resource=map[] sample=0.25 alone=false remarks=0`,
		"TRACES_SAMPLER=traceidratio":                                                     `url= headers=map[] plain=false service= resource=map[] sample=1 alone=true remarks=0`,
		"TRACES_SAMPLER=traceidratio TRACES_SAMPLER_ARG=NaN":                              `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=1`,
		"TRACES_SAMPLER=jaeger_remote":                                                    `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=1`,
		"EXPORTER_OTLP_ENDPOINT=http://a:4317 EXPORTER_OTLP_PROTOCOL=grpc":                `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=1`,
		"EXPORTER_OTLP_ENDPOINT=http://a EXPORTER_OTLP_TRACES_PROTOCOL=http/json":         `url=http://a/v1/traces headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=1`,
		"EXPORTER_OTLP_ENDPOINT=http://a SDK_DISABLED=true":                               `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=0`,
		"EXPORTER_OTLP_ENDPOINT=http://a TRACES_EXPORTER=none":                            `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=0`,
		"EXPORTER_OTLP_ENDPOINT=http://a TRACES_EXPORTER=zipkin":                          `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=1`,
		"EXPORTER_OTLP_HEADERS=a=%zz RESOURCE_ATTRIBUTES=x EXPORTER_OTLP_COMPRESSION=lz4": `url= headers=map[] plain=false service= resource=map[] sample=- alone=false remarks=3`,
	} {
		vars := map[string]string{}
		for _, pair := range strings.Fields(said) {
			name, value, _ := strings.Cut(pair, "=")
			vars["OTEL_"+name] = value
		}
		e := trace.FromEnvironment(func(name string) string { return vars[name] })
		sample := "-"
		if e.Sample != nil {
			sample = fmt.Sprint(*e.Sample)
		}
		if got := fmt.Sprintf("url=%s headers=%v plain=%v service=%s resource=%v sample=%s alone=%v remarks=%d", e.URL, e.Headers, e.Plain, e.Service, e.Resource, sample, e.Alone, len(e.Remarks)); got != want {
			t.Errorf("%s\n got %s %q\nwant %s", said, got, e.Remarks, want)
		}
		for _, remark := range e.Remarks {
			if strings.Contains(remark, "zz") {
				t.Errorf("a remark has the value: %s", remark)
			}
		}
	}
}

// TestNamed: what operators say of the process stands with its spans, before what the program knows.
func TestNamed(t *testing.T) {
	c := newCollector(t)
	cfg := config(c.URL, new(bytes.Buffer))
	cfg.Plain = true
	cfg.Service, cfg.Resource = "pds", map[string]string{"service.name": "less", "service.instance.id": "pod-1", "deployment.environment.name": "prod"}
	traces := trace.New(cfg)
	_, span := traces.Work(context.Background(), "work")
	span.End()
	sent(traces)
	if got := fmt.Sprint(c.resource); got != "map[deployment.environment.name:prod service.instance.id:pod-1 service.name:pds service.version:v]" {
		t.Error(got)
	}
	if got := c.heads[0].Get("Content-Encoding"); got != "" {
		t.Errorf("sent as %q", got)
	}
}

// TestParted: what begins after a stream has come about belongs to no trace.
func TestParted(t *testing.T) {
	c := newCollector(t)
	traces := trace.New(config(c.URL, new(bytes.Buffer)))
	ctx, span := traces.Begin(httptest.NewRequest("GET", "/", nil), nil)
	inside, before := trace.Start(ctx, "before", trace.Inside)
	before.End()
	trace.First(inside).Name("stream")
	trace.First(inside).Part()
	_, after := trace.Start(inside, "after", trace.Inside)
	after.End()
	span.End() // as who began it does
	if trace.On(ctx) || trace.ID(inside) != "" || trace.On(trace.Joined(context.Background(), ctx)) {
		t.Error("it is still traced")
	}
	if s := sent(traces); s.Sent != 2 || c.spans()["stream"] == nil || c.spans()["before"] == nil {
		t.Error(s, c.spans())
	}
	trace.First(context.Background()).Part()
}

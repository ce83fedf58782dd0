// Package alerts tries the alert rules with Prometheus' own engine. It is a module of its own, so that the server's has
// nothing of Prometheus' server.
package alerts

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"gopkg.in/yaml.v3"
)

// series are what each alert is tried with: made-up numbers of two hours, one a minute. bad has it fire at the end, and
// good does not.
var series = map[string]struct{ bad, good string }{
	"LocusDown":         {`up{job="locus"} 0x120`, `up{job="locus"} 1x120`},
	"LocusDatabaseAway": {`locus_postgres_up 0x120`, `locus_postgres_up 1x120`},
	"LocusErrors": {
		"locus_requests_total{code=\"500\"} 0+10x120\nlocus_requests_total{code=\"200\"} 0+100x120",
		"locus_requests_total{code=\"500\"} 0+1x120\nlocus_requests_total{code=\"200\"} 0+1000x120",
	},
	"LocusOverloaded": {`locus_requests_total{instance="a",code="503"} 0+120x120`, `locus_requests_total{instance="a",code="503"} 0+10x120`},
	"LocusSlow": {
		"locus_request_seconds_bucket{method=\"m\",le=\"1\"} 0+10x120\nlocus_request_seconds_bucket{method=\"m\",le=\"5\"} 0+100x120\nlocus_request_seconds_bucket{method=\"m\",le=\"+Inf\"} 0+100x120",
		"locus_request_seconds_bucket{method=\"m\",le=\"1\"} 0+100x120\nlocus_request_seconds_bucket{method=\"m\",le=\"5\"} 0+100x120\nlocus_request_seconds_bucket{method=\"m\",le=\"+Inf\"} 0+100x120",
	},
	"LocusPoolFull": {
		pool("8", "0+120x120"),
		pool("8", "0+1x120"),
	},
	"LocusCommitsFail":      {`locus_commit_groups_failed_total 0+1x120`, `locus_commit_groups_failed_total 5x120`},
	"LocusStreamBehind":     {`locus_stream_behind_events 20000x120`, `locus_stream_behind_events 100x120`},
	"LocusConsumersTooSlow": {`locus_stream_too_slow_total 0+1x120`, `locus_stream_too_slow_total 50x120`},
	"LocusMailGivenUp":      {`locus_mail_attempts_total{outcome="given_up"} 0+1x120`, `locus_mail_attempts_total{outcome="given_up"} 3x120`},
	"LocusMailStuck": {
		"locus_mail_attempts_total{outcome=\"retried\"} 0+5x120\nlocus_mail_attempts_total{outcome=\"sent\"} 0+1x120",
		"locus_mail_attempts_total{outcome=\"retried\"} 0+1x120\nlocus_mail_attempts_total{outcome=\"sent\"} 0+5x120",
	},
	"LocusJobFailed": {`locus_job_attempts_total{outcome="failed"} 0+1x120`, `locus_job_attempts_total{outcome="failed"} 3x120`},
	"LocusFileStore": {
		`locus_blob_store_errors_total{instance="a",kind="away",direction="read"} 0+1x120`,
		`locus_blob_store_errors_total{instance="a",kind="away",direction="read"} 4x120`,
	},
	"LocusServiceAway":        {upstream("api.example.com", "0+9x120", "0+1x120"), upstream("api.example.com", "0+1x120", "0+9x120")},
	"LocusDirectoryAway":      {upstream("plc", "0+9x120", "0+1x120"), upstream("plc", "0+1x120", "0+9x120")},
	"LocusGuessing":           {`locus_failed_signins_total 0+120x120`, `locus_failed_signins_total 0+10x120`},
	"LocusGateFull":           {`locus_gate_refusals_total{instance="a",gate="hashes"} 0+120x120`, `locus_gate_refusals_total{instance="a",gate="answer_memory"} 0+120x120`},
	"LocusReplicaBehind":      {"locus_replicas 2x120\nlocus_replicas_usable 1x120", "locus_replicas 2x120\nlocus_replicas_usable 2x120"},
	"LocusDoctorFound":        {`locus_doctor_findings{severity="error"} 1x120`, `locus_doctor_findings{severity="warning"} 3x120`},
	"LocusDoctorSilent":       {`locus_doctor_looked_timestamp_seconds -200000x120`, `locus_doctor_looked_timestamp_seconds 0x120`},
	"LocusRestarts":           {`process_start_time_seconds{job="locus"} 0+60x120`, `process_start_time_seconds{job="locus"} 7x120`},
	"LocusCertificateExpires": {`locus_certificate_expires_timestamp_seconds 500000x120`, "locus_certificate_expires_timestamp_seconds{instance=\"a\"} 5000000x120\nlocus_certificate_expires_timestamp_seconds{instance=\"b\"} 0x120"},
	"LocusCertificateFails":   {`locus_certificates{job="locus",state="failing"} 1x120`, "locus_certificates{job=\"locus\",state=\"failing\"} 0x120\nlocus_certificates{job=\"locus\",state=\"waiting\"} 5x120"},
	"LocusCertificatesWait":   {`locus_certificates{state="waiting"} 30x120`, `locus_certificates{state="waiting"} 30x20 0x5 30x10 0x5 30x10 0x5 30x10 0x5 30x10 0x5 30x10 0x5 30x20`},
	"LocusStreamsLooked":      {`locus_stream_followed{by="looking"} 900x120`, "locus_stream_followed{by=\"looking\"} 5x120\nlocus_stream_followed{by=\"notes\"} 900x120"},
	"LocusNotesLate":          {"locus_stream_notes_late_seconds_total 0+300x120\nlocus_stream_notes_total 0+60x120", "locus_stream_notes_late_seconds_total 0+3x120\nlocus_stream_notes_total 0+60x120"},
	"LocusOperatorGuessing":   {`locus_failed_operators_total 0+5x120`, `locus_failed_operators_total 0+1x120`},
	"LocusNodeFound":          {`locus_node_findings{instance="a",check="clock",severity="error"} 1x120`, `locus_node_findings{instance="a",check="disk",severity="warning"} 1x120`},
	"LocusTracesLost": {
		`locus_trace_spans_total{instance="a",outcome="refused"} 0+100x120`,
		"locus_trace_spans_total{instance=\"a\",outcome=\"refused\"} 5x120\nlocus_trace_spans_total{instance=\"a\",outcome=\"sent\"} 0+100x120",
	},
}

func pool(most, waited string) string {
	of := `{instance="a",node="1",pool="tenants"} `
	return "locus_postgres_connections_in_use" + of + most + "x120\nlocus_postgres_connections_most" + of + "8x120\nlocus_postgres_connection_wait_seconds_total" + of + waited
}

func upstream(service, failed, good string) string {
	of := `locus_upstream_seconds_count{service="` + service + `",outcome="`
	return of + `error"} ` + failed + "\n" + of + `2xx"} ` + good
}

// TestAlertsFire: each alert fires on numbers that are bad, for as long as it asks, and not on good ones.
func TestAlertsFire(t *testing.T) {
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr, For string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute})
	end := time.Unix(0, 0).Add(2 * time.Hour)
	tried := 0
	for _, r := range file.Groups[0].Rules {
		made, ok := series[r.Alert]
		if !ok {
			t.Errorf("%s is tried with nothing", r.Alert)
			continue
		}
		tried++
		lasts, err := time.ParseDuration(r.For)
		if err != nil {
			t.Error(r.Alert, err)
		}
		for what, load := range map[string]string{"bad": made.bad, "good": made.good} {
			storage := promqltest.LoadedStorage(t, "load 1m\n  "+strings.ReplaceAll(load, "\n", "\n  "))
			for at := end.Add(-lasts); !at.After(end); at = at.Add(time.Minute) {
				q, err := engine.NewInstantQuery(context.Background(), storage, nil, r.Expr, at)
				if err != nil {
					t.Fatal(r.Alert, err)
				}
				result := q.Exec(t.Context())
				v, err := result.Vector()
				if err != nil {
					t.Fatal(r.Alert, err)
				}
				if fires := len(v) > 0; fires != (what == "bad") {
					t.Errorf("%s at %v: with %s numbers it fires: %v", r.Alert, at.Sub(time.Unix(0, 0)), what, fires)
					break
				}
			}
			_ = storage.Close()
		}
	}
	if tried != len(series) {
		t.Errorf("%d of %d alerts are there", tried, len(series))
	}
}

// TestExpressions: Prometheus reads every expression of the dashboard.
func TestExpressions(t *testing.T) {
	text, err := os.ReadFile("../../deploy/grafana/locus.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	p := parser.NewParser(parser.Options{})
	for _, panel := range file.Panels {
		for _, target := range panel.Targets {
			if _, err := p.ParseExpr(strings.ReplaceAll(target.Expr, "$instance", ".*")); err != nil {
				t.Error(target.Expr, err)
			}
		}
	}
}

package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// ofOthers are metrics that Prometheus and its libraries make, with the labels that they have.
var ofOthers = map[string][]string{
	"up": {}, "process_start_time_seconds": {}, "process_resident_memory_bytes": {}, "process_cpu_seconds_total": {},
}

// documented are the metrics with their labels, as docs/monitoring.md has them: TestAdminFace holds that page against what
// a server shows.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/monitoring.md")
	must(t, err)
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(locus_\\w+)` \\| ([^|]*) \\| (\\w+) \\|").FindAllStringSubmatch(string(text), -1) {
		labels := []string{}
		for _, l := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		if m[3] != "histogram" {
			out[m[1]] = labels
			continue
		}
		out[m[1]+"_sum"], out[m[1]+"_count"], out[m[1]+"_bucket"] = labels, labels, append(slices.Clone(labels), "le")
	}
	if len(out) < 30 {
		t.Fatalf("%d metrics are documented", len(out))
	}
	return out
}

// holdExpression looks at each metric of an expression and at the labels that it is asked by and grouped by.
func holdExpression(t *testing.T, known map[string][]string, where, expr string) {
	t.Helper()
	any := []string{"instance", "job"}
	bare := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).ReplaceAllString(expr, `""`)
	found := 0
	for _, m := range regexp.MustCompile(`\b(locus_\w+|process_\w+|up)\b(?:\{([^}]*)\})?`).FindAllStringSubmatch(bare, -1) {
		labels, ok := known[m[1]]
		if !ok {
			t.Errorf("%s: no server shows %s", where, m[1])
		}
		found++
		any = append(any, labels...)
		for _, l := range regexp.MustCompile(`(\w+)\s*[!=]`).FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) && l[1] != "instance" && l[1] != "job" {
				t.Errorf("%s: %s has no label %s", where, m[1], l[1])
			}
		}
	}
	if found == 0 {
		t.Errorf("%s asks for nothing: %s", where, expr)
	}
	for _, m := range regexp.MustCompile(`\b(?:by|on) ?\(([^)]*)\)`).FindAllStringSubmatch(bare, -1) {
		for _, l := range strings.Split(m[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(any, l) {
				t.Errorf("%s: nothing in it has the label %s", where, l)
			}
		}
	}
	if strings.Count(bare, "(") != strings.Count(bare, ")") || strings.Count(bare, "{") != strings.Count(bare, "}") {
		t.Errorf("%s: brackets do not match: %s", where, expr)
	}
}

// TestAlerts: each alert asks for numbers that a server shows, says how bad it is, and has its part of the runbook, which
// has no other parts.
func TestAlerts(t *testing.T) {
	known := documented(t)
	for name, labels := range ofOthers {
		known[name] = labels
	}
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	must(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	must(t, yaml.Unmarshal(text, &file))
	book, err := os.ReadFile("../../docs/runbook.md")
	must(t, err)
	var parts, alerts []string
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(book), -1) {
		parts = append(parts, m[1])
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			holdExpression(t, known, r.Alert, r.Expr)
			if r.Annotations["runbook_url"] != "docs/runbook.md#"+strings.ToLower(r.Alert) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: %v", r.Alert, r.Annotations)
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
		}
	}
	if !slices.Equal(alerts, parts) || len(alerts) < 10 {
		t.Errorf("alerts:  %v\nrunbook: %v", alerts, parts)
	}
}

// TestDashboard: each panel asks for numbers that a server shows.
func TestDashboard(t *testing.T) {
	known := documented(t)
	for name, labels := range ofOthers {
		known[name] = labels
	}
	text, err := os.ReadFile("../../deploy/grafana/locus.json")
	must(t, err)
	var file struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	must(t, json.Unmarshal(text, &file))
	places := map[[2]int]bool{}
	for _, p := range file.Panels {
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		if places[at] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d: %+v", p.ID, p)
		}
		places[at] = true
		for _, target := range p.Targets {
			holdExpression(t, known, p.Title, target.Expr)
		}
	}
	if len(file.Panels) < 20 {
		t.Errorf("%d panels", len(file.Panels))
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample(workload string, clients int, perSecond, cpu, p99 float64) *result {
	r := &result{Workload: workload, Clients: clients, Throughput: perSecond, Latency: latencyMS{P99: p99}, Started: time.Unix(int64(perSecond*1000), 0)}
	if cpu > 0 {
		r.Server = &serverCost{cost: cost{CPUPerOp: cpu}, RSSPeak: 300e6, PSSPeak: 200e6}
	}
	return r
}

func TestCompareTable(t *testing.T) {
	base := []*result{
		sample("get-record", 16, 900, 1.1, 30), sample("get-record", 16, 1100, 1.0, 20), sample("get-record", 16, 1000, 1.2, 10), // medians 1000, 1.1, 20
		sample("create-record", 64, 150, 6, 400), sample("create-record", 16, 100, 0, 50), sample("put-record", 1, 1, 1, 1),
	}
	other := []*result{sample("create-record", 16, 2500, 0.4, 10), sample("get-record", 16, 12000, 0.055, 4), sample("create-record", 64, 3000, 0.3, 40)}
	other[1].Errors, other[2].Lost = 3, 2
	var b strings.Builder
	if err := compare(&b, []string{"reference", "ours"}, base, other); err != nil {
		t.Fatal(err)
	}
	want := `| workload | records | clients | reference op/s | ours op/s | × | reference CPU ms/op | ours CPU ms/op | ÷ | reference p99 ms | ours p99 ms | ÷ | reference MB | ours MB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| create-record | 0 | 16 | 100 | 2500 | **25.0** | – | 0.400 | – | 50.0 | 10.0 | **5.00** | – | 200 |
| create-record | 0 | 64 | 150 | 3000 | **20.0** | 6.00 | 0.300 | **20.0** | 400 | 40.0 | **10.0** | 200 | 200 |
| get-record | 0 | 16 | 1000 | 12000 | **12.0** | 1.10 | 0.055 | **20.0** | 20.0 | 4.00 | **5.00** | 200 | 200 |

- ours, create-record with 64 clients: 0 errors, 2 acknowledged writes lost.
- ours, get-record with 16 clients: 3 errors, 0 acknowledged writes lost.
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if err := compare(&b, []string{"a", "b"}, base[:1], other[:1]); err == nil {
		t.Error("nothing in common was compared")
	}
}

func TestLoadResults(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []*result{sample("get-repo", 1, 3, 4, 5), sample("get-repo", 4, 6, 4, 5)} {
		if err := r.save(filepath.Join(dir, "r")); err != nil {
			t.Fatal(err)
		}
	}
	all, err := loadResults(filepath.Join(dir, "r"))
	if err != nil || len(all) != 2 || all[0].Server.PSSPeak != 200e6 {
		t.Fatalf("a folder gave %d results: %v", len(all), err)
	}
	var lines []byte // as --json prints them
	for _, r := range all {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, b...), '\n')
	}
	file := filepath.Join(dir, "lines")
	if err := os.WriteFile(file, lines, 0o644); err != nil {
		t.Fatal(err)
	}
	if all, err = loadResults(file); err != nil || len(all) != 2 {
		t.Fatalf("a file gave %d results: %v", len(all), err)
	}
	for _, bad := range []string{"", "{", `{"clients":"x"}`} {
		if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := loadResults(file); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{5}, 5}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 4}, 4}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median %v, want %v", got, c.want)
		}
	}
}

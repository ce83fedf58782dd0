package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type compareCmd struct {
	Base  string   `arg:"" help:"Result file or folder to compare with." type:"existingpath"`
	Other string   `arg:"" help:"Result file or folder to compare." type:"existingpath"`
	Names []string `help:"Names of the two in the table (otherwise those in the results)."`
}

// Run prints the table.
func (c *compareCmd) Run() error {
	base, err := loadResults(c.Base)
	if err != nil {
		return err
	}
	other, err := loadResults(c.Other)
	if err != nil {
		return err
	}
	names := c.Names
	if len(names) == 0 {
		names = []string{cmp.Or(base[0].Name, "base"), cmp.Or(other[0].Name, "other")}
	}
	if len(names) != 2 {
		return errors.New("--names takes two names")
	}
	return compare(os.Stdout, names, base, other)
}

// loadResults reads a file, or every *.json in a folder.
func loadResults(path string) ([]*result, error) {
	files := []string{path}
	if st, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("load results: %w", err)
	} else if st.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil {
			return nil, fmt.Errorf("load results: %w", err)
		}
	}
	var all []*result
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("load results: %w", err)
		}
		for d := json.NewDecoder(strings.NewReader(string(b))); ; { // --json writes several one after the other
			r := &result{}
			if err := d.Decode(r); err == io.EOF {
				break
			} else if err != nil {
				return nil, fmt.Errorf("load results: %s: %w", f, err)
			}
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("load results: none in %s", path)
	}
	return all, nil
}

// A point is what two results must have in common to be compared.
type point struct {
	workload string
	size     int // of files, in bytes
	records  int
	clients  int
}

// title names the workload, with the size of its files.
func (p point) title() string {
	switch {
	case p.size == 0:
		return p.workload
	case p.size%1_000_000 == 0:
		return fmt.Sprintf("%s %d MB", p.workload, p.size/1_000_000)
	}
	return fmt.Sprintf("%s %.3g KB", p.workload, float64(p.size)/1000)
}

// figures of one point: medians over its runs.
type figures struct {
	runs                                   int
	throughput, cpu, p50, p99, mbs, memory float64
	added50, added99, share                float64 // of proxied calls, beside the stand-in itself
	errors, lost                           int64
}

func summarize(results []*result) map[point]figures {
	groups := map[point][]*result{}
	for _, r := range results {
		p := point{r.Workload, r.BlobSize, r.Records, r.Clients}
		groups[p] = append(groups[p], r)
	}
	out := make(map[point]figures, len(groups))
	for p, rs := range groups {
		pick := func(f func(*result) float64) float64 {
			v := make([]float64, len(rs))
			for i, r := range rs {
				v[i] = f(r)
			}
			return median(v)
		}
		f := figures{
			runs:       len(rs),
			throughput: pick(func(r *result) float64 { return r.Throughput }),
			p50:        pick(func(r *result) float64 { return r.Latency.P50 }),
			p99:        pick(func(r *result) float64 { return r.Latency.P99 }),
			mbs:        pick(func(r *result) float64 { return r.MBPerSecond }),
		}
		if !slices.ContainsFunc(rs, func(r *result) bool { return r.Server == nil }) {
			f.cpu = pick(func(r *result) float64 { return r.Server.CPUPerOp })
			f.memory = pick(func(r *result) float64 { return float64(r.Server.memory()) })
		}
		if !slices.ContainsFunc(rs, func(r *result) bool { return r.Direct == nil }) {
			f.added50 = pick(func(r *result) float64 { return r.Direct.AddedP50 })
			f.added99 = pick(func(r *result) float64 { return r.Direct.AddedP99 })
			f.share = pick(func(r *result) float64 { return r.Direct.Share })
		}
		for _, r := range rs {
			f.errors += r.Errors
			f.lost += int64(r.Lost)
		}
		out[p] = f
	}
	return out
}

// median of at least one number; the mean of the middle two when there is no middle one.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// compare writes a Markdown table of the points that both have, in the order of the workloads. Ratios say how many times better the other
// is: throughput other/base, cost and latency base/other.
func compare(w io.Writer, names []string, base, other []*result) error {
	a, b := summarize(base), summarize(other)
	var points []point
	for p := range a {
		if _, ok := b[p]; ok {
			points = append(points, p)
		}
	}
	if len(points) == 0 {
		return errors.New("the results have no workload with the same clients and records in common")
	}
	order := func(name string) int {
		return slices.IndexFunc(workloads, func(w *workload) bool { return w.name == name })
	}
	slices.SortFunc(points, func(x, y point) int {
		return cmp.Or(cmp.Compare(order(x.workload), order(y.workload)), cmp.Compare(x.size, y.size), cmp.Compare(x.records, y.records), cmp.Compare(x.clients, y.clients))
	})
	x, y := names[0], names[1]
	fmt.Fprintf(w, "| workload | records | clients | %s op/s | %s op/s | × | %s CPU ms/op | %s CPU ms/op | ÷ | %s p99 ms | %s p99 ms | ÷ | %s MB | %s MB |\n", x, y, x, y, x, y, x, y)
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	var notes []string
	for _, p := range points {
		f, g := a[p], b[p]
		fmt.Fprintf(w, "| %s | %d | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", p.title(), p.records, p.clients,
			number(f.throughput), number(g.throughput), ratio(g.throughput, f.throughput),
			number(f.cpu), number(g.cpu), ratio(f.cpu, g.cpu),
			number(f.p99), number(g.p99), ratio(f.p99, g.p99),
			number(f.memory/1e6), number(g.memory/1e6))
		if p.workload == "get-repo" {
			notes = append(notes, fmt.Sprintf("get-repo, %d records, %d clients: %s MB/s and %s MB/s.", p.records, p.clients, number(f.mbs), number(g.mbs)))
		}
		if f.share > 0 && g.share > 0 {
			notes = append(notes, fmt.Sprintf("%s, %d clients: %s and %s ms more at the median than without the server, %s and %s at the 99th percentile; %s and %s of the rate without it, %s and %s MB/s.",
				p.title(), p.clients, number(f.added50), number(g.added50), number(f.added99), number(g.added99), number(f.share), number(g.share), number(f.mbs), number(g.mbs)))
		}
		for i, h := range []figures{f, g} {
			if h.errors > 0 || h.lost > 0 {
				notes = append(notes, fmt.Sprintf("%s, %s with %d clients: %d errors, %d acknowledged writes lost.", names[i], p.workload, p.clients, h.errors, h.lost))
			}
		}
	}
	if len(notes) > 0 {
		fmt.Fprintln(w)
		for _, n := range notes {
			fmt.Fprintln(w, "- "+n)
		}
	}
	return nil
}

// number prints about three digits; a figure that was not measured is a dash.
func number(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "–"
	}
	return "**" + number(a/b) + "**"
}

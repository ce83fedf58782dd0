package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A result is one measured run, as written with --json and --out.
type result struct {
	Name        string      `json:"name,omitempty"` // of the server, by --name
	URL         string      `json:"url"`
	Workload    string      `json:"workload"`
	Clients     int         `json:"clients"`
	Accounts    int         `json:"accounts"`
	Records     int         `json:"records,omitempty"`     // records in every account before the run
	RecordSize  int         `json:"record_size,omitempty"` // characters of text
	BlobSize    int         `json:"blob_size,omitempty"`   // bytes of a file, or of a proxied answer
	Writes      int         `json:"writes_per_operation,omitempty"`
	Started     time.Time   `json:"started"`
	Seconds     float64     `json:"seconds"`
	Operations  int64       `json:"operations"` // that succeeded
	Throughput  float64     `json:"operations_per_second"`
	Bytes       int64       `json:"bytes"` // of answers
	MBPerSecond float64     `json:"mb_per_second"`
	Latency     latencyMS   `json:"latency_ms"`
	Errors      int64       `json:"errors"`
	ErrorKinds  []errorKind `json:"error_kinds,omitempty"`
	UsedUp      bool        `json:"used_up,omitempty"`  // the run ended early: nothing left to delete
	Deserted    bool        `json:"deserted,omitempty"` // a client gave up: the server did not answer
	Checked     int         `json:"acknowledged_checked,omitempty"`
	Lost        int         `json:"acknowledged_lost,omitempty"`
	Server      *serverCost `json:"server,omitempty"`
	Client      cost        `json:"client"`

	Stream *streamResult `json:"stream,omitempty"` // with --subscribers
	Direct *directResult `json:"direct,omitempty"` // of proxied calls
}

type latencyMS struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

type errorKind struct {
	Name     string   `json:"name"` // status and error name, or "connection"
	Count    int64    `json:"count"`
	Messages []string `json:"messages"` // the first different ones
}

type cost struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUPerOp   float64 `json:"cpu_ms_per_operation"`
}

func (c *cost) set(cpu time.Duration, operations int64) {
	c.CPUSeconds = cpu.Seconds()
	if operations > 0 {
		c.CPUPerOp = cpu.Seconds() * 1000 / float64(operations)
	}
}

type serverCost struct {
	cost
	RSSPeak   int64         `json:"rss_peak_bytes"`           // shared pages in every process that maps them
	PSSPeak   int64         `json:"pss_peak_bytes,omitempty"` // shared pages once
	Processes []processCost `json:"processes"`                // the roots given by --pids, each with its children
}

type processCost struct {
	PID        int     `json:"pid"`
	Name       string  `json:"name"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

// memory is the better of the two figures.
func (s *serverCost) memory() int64 {
	if s.PSSPeak > 0 {
		return s.PSSPeak
	}
	return s.RSSPeak
}

func (r *result) print(w io.Writer) {
	fmt.Fprintf(w, "%s  %d clients, %d accounts, %.1f s\n", r.Workload, r.Clients, r.Accounts, r.Seconds)
	fmt.Fprintf(w, "  throughput  %.1f/s  %d operations", r.Throughput, r.Operations)
	if r.Writes > 1 {
		fmt.Fprintf(w, "  %.1f writes/s", r.Throughput*float64(r.Writes))
	}
	fmt.Fprintf(w, "  %.2f MB/s\n", r.MBPerSecond)
	fmt.Fprintf(w, "  latency ms  p50 %.2f  p90 %.2f  p99 %.2f  max %.2f\n", r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.Max)
	fmt.Fprintf(w, "  CPU ms/op   client %.3f", r.Client.CPUPerOp)
	if s := r.Server; s != nil {
		fmt.Fprintf(w, "  server %.3f (", s.CPUPerOp)
		for i, p := range s.Processes {
			if i > 0 {
				fmt.Fprint(w, ", ")
			}
			fmt.Fprintf(w, "%s %.2f s", p.Name, p.CPUSeconds)
		}
		fmt.Fprintf(w, ")\n  memory MB   rss %.0f  pss %.0f", float64(s.RSSPeak)/1e6, float64(s.PSSPeak)/1e6)
	}
	fmt.Fprintln(w)
	if r.Stream != nil {
		r.Stream.print(w)
	}
	if r.Direct != nil {
		r.Direct.print(w)
	}
	if r.Checked > 0 {
		fmt.Fprintf(w, "  read back   %d acknowledged writes, %d lost\n", r.Checked, r.Lost)
	}
	if r.UsedUp {
		fmt.Fprintln(w, "  ended early: no records left (more with --records)")
	}
	if r.Deserted {
		fmt.Fprintln(w, "  ended early: the server stopped answering")
	}
	for _, k := range r.ErrorKinds {
		fmt.Fprintf(w, "  %d × %s\n", k.Count, k.Name)
		for _, m := range k.Messages {
			fmt.Fprintf(w, "      %s\n", m)
		}
	}
}

// save writes the result into a folder under a name made of what it is.
func (r *result) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save result: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("save result: %w", err)
	}
	workload := r.Workload
	if r.Stream != nil {
		workload = fmt.Sprintf("%s-s%d", workload, r.Stream.Subscribers)
	}
	if r.BlobSize > 0 {
		workload = fmt.Sprintf("%s-b%d", workload, r.BlobSize)
	}
	name := fmt.Sprintf("%s-c%d-r%d-%s.json", workload, r.Clients, r.Records, r.Started.Format("20060102T150405.000"))
	if err := os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("save result: %w", err)
	}
	return nil
}

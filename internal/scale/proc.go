package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// stat gives the fields of a process behind its name.
func stat(pid string) []string {
	raw, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.Fields(rest)
}

func ticks(fields []string, at ...int) (d time.Duration) {
	for _, i := range at {
		if i < len(fields) {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			d += time.Duration(n) * 10 * time.Millisecond // 100 a second, as everywhere
		}
	}
	return d
}

// processCPU is what one process has used.
func processCPU(pid int) time.Duration { return ticks(stat(strconv.Itoa(pid)), 11, 12) }

// treeCPU is what Postgres has used, with children that are gone.
func treeCPU(postmaster int) time.Duration {
	d := ticks(stat(strconv.Itoa(postmaster)), 11, 12, 13, 14)
	for _, pid := range children(postmaster) {
		d += ticks(stat(pid), 11, 12)
	}
	return d
}

func children(parent int) (out []string) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range list {
		pid := filepath.Base(filepath.Dir(path))
		if f := stat(pid); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			out = append(out, pid)
		}
	}
	return out
}

// memory is what a process has for itself.
func memory(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

func treeMemory(postmaster int) (sum int64) {
	sum = memory(postmaster)
	for _, pid := range children(postmaster) {
		n, _ := strconv.Atoi(pid)
		sum += memory(n)
	}
	return sum
}

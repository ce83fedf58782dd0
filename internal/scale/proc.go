package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
)

// processCPU is what one process has used; nothing where it has gone.
func processCPU(pid int) time.Duration {
	p, _ := procfs.Here.Read(pid)
	return p.CPU
}

// treeCPU is what Postgres has used, with children that are gone.
func treeCPU(postmaster int) time.Duration {
	d, _ := procfs.Here.Tree(postmaster)
	return d
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
	all, _ := procfs.Here.Under(postmaster)
	for _, p := range all {
		sum += memory(p.PID)
	}
	return sum
}

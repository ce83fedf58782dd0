package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNoProcess is a pid that does not run (any more).
var ErrNoProcess = errors.New("no such process")

// userHz is the unit of the CPU times in /proc/PID/stat: 100 on every Linux architecture that Go supports.
const userHz = 100

// A process is one line of /proc.
type process struct {
	pid, parent int
	name        string
	ticks       int64 // user and system time, own and of children that were waited for, in 1/userHz s
	rss         int64 // bytes
}

// parseStat reads /proc/PID/stat. The name stands in parentheses and may itself hold spaces and parentheses.
func parseStat(b []byte) (process, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("read stat %q: no name", b)
	}
	p := process{name: string(b[open+1 : end])}
	var err error
	if p.pid, err = strconv.Atoi(strings.TrimSpace(string(b[:open]))); err != nil {
		return process{}, fmt.Errorf("read stat: %w", err)
	}
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3, the state
	if len(f) < 22 {
		return process{}, fmt.Errorf("read stat of %d: %d fields", p.pid, len(f))
	}
	num := func(field int) int64 {
		n, e := strconv.ParseInt(f[field-3], 10, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("read stat of %d: field %d: %w", p.pid, field, e)
		}
		return n
	}
	p.parent = int(num(4))
	p.ticks = num(14) + num(15) + num(16) + num(17)
	p.rss = num(24) * int64(os.Getpagesize())
	return p, err
}

// A procfs reads processes; its path is /proc outside tests.
type procfs string

func (fs procfs) all() (map[int]process, error) {
	dir, err := os.ReadDir(string(fs))
	if err != nil {
		return nil, fmt.Errorf("list processes (figures of the server need Linux): %w", err)
	}
	all := make(map[int]process, len(dir))
	for _, e := range dir {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(string(fs), e.Name(), "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		if p, err := parseStat(b); err == nil {
			all[p.pid] = p
		}
	}
	return all, nil
}

// trees are the processes under each root, the root first. A process under several roots belongs to the nearest: of a
// server that runs its own Postgres, the server and the postmaster can both be named and are told apart.
func trees(all map[int]process, roots []int) ([][]process, error) {
	children := map[int][]int{}
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	for _, root := range roots {
		if _, ok := all[root]; !ok {
			return nil, fmt.Errorf("pid %d: %w", root, ErrNoProcess)
		}
	}
	out := make([][]process, len(roots))
	for i, root := range roots {
		if slices.Contains(roots[:i], root) {
			continue
		}
		for next := []int{root}; len(next) > 0; {
			pid := next[0]
			next = next[1:]
			if pid != root && slices.Contains(roots, pid) {
				continue
			}
			out[i] = append(out[i], all[pid])
			c := children[pid]
			slices.Sort(c)
			next = append(next, c...)
		}
	}
	return out, nil
}

// A usage is what a set of process trees has used so far.
type usage struct {
	cpu   []time.Duration // per root
	names []string
	rss   int64 // bytes, shared pages counted once per process
}

// usage adds up the trees. The time of a process that ended inside a tree is in its parent's, so sums never fall.
func (fs procfs) usage(roots []int) (usage, error) {
	var u usage
	if len(roots) == 0 {
		return u, nil
	}
	all, err := fs.all()
	if err != nil {
		return u, err
	}
	ts, err := trees(all, roots)
	if err != nil {
		return u, err
	}
	for i, tree := range ts {
		var ticks int64
		for _, p := range tree {
			ticks += p.ticks
			u.rss += p.rss
		}
		u.cpu = append(u.cpu, time.Duration(ticks)*time.Second/userHz)
		u.names = append(u.names, all[roots[i]].name)
	}
	return u, nil
}

// pss adds up the proportional set sizes of the trees in bytes: pages shared by n processes count 1/n in each, so
// Postgres' shared buffers count once. 0 when the kernel does not say or the processes are someone else's.
func (fs procfs) pss(roots []int) int64 {
	all, err := fs.all()
	if err != nil {
		return 0
	}
	ts, err := trees(all, roots)
	if err != nil {
		return 0
	}
	var sum int64
	for _, tree := range ts {
		for _, p := range tree {
			b, err := os.ReadFile(filepath.Join(string(fs), strconv.Itoa(p.pid), "smaps_rollup"))
			if err != nil {
				return 0
			}
			sum += parsePSS(b)
		}
	}
	return sum
}

func parsePSS(rollup []byte) int64 {
	for line := range bytes.Lines(rollup) {
		rest, ok := bytes.CutPrefix(line, []byte("Pss:"))
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return kb << 10
	}
	return 0
}

// A memoryWatch keeps the highest memory seen until it is stopped.
type memoryWatch struct {
	stop chan struct{}
	done sync.WaitGroup
	rss  int64
	pss  int64
}

func (fs procfs) watch(roots []int) *memoryWatch {
	w := &memoryWatch{stop: make(chan struct{})}
	if len(roots) == 0 {
		return w
	}
	w.done.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if u, err := fs.usage(roots); err == nil {
				w.rss = max(w.rss, u.rss)
			}
			if i%6 == 0 { // walks page tables: seldom
				w.pss = max(w.pss, fs.pss(roots))
			}
			select {
			case <-w.stop:
				w.pss = max(w.pss, fs.pss(roots))
				return
			case <-tick.C:
			}
		}
	})
	return w
}

// peak ends the watch.
func (w *memoryWatch) peak() (rss, pss int64) {
	close(w.stop)
	w.done.Wait()
	return w.rss, w.pss
}

// ownCPU is the CPU time of this process so far.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

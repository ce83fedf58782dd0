// Package procfs says what processes have used, by Linux's /proc: for tests and for programs that measure.
package procfs

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

// Process is one line of /proc.
type Process struct {
	PID, Parent int
	Name        string
	CPU         time.Duration // user and system time
	Buried      time.Duration // that of children that were waited for
	RSS         int64         // bytes
}

// parse reads /proc/PID/stat. The name stands in parentheses and may itself hold spaces and parentheses.
func parse(b []byte) (Process, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return Process{}, fmt.Errorf("read stat %q: no name", b)
	}
	p := Process{Name: string(b[open+1 : end])}
	var err error
	if p.PID, err = strconv.Atoi(strings.TrimSpace(string(b[:open]))); err != nil {
		return Process{}, fmt.Errorf("read stat: %w", err)
	}
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3, the state
	if len(f) < 22 {
		return Process{}, fmt.Errorf("read stat of %d: %d fields", p.PID, len(f))
	}
	num := func(field int) int64 {
		n, e := strconv.ParseInt(f[field-3], 10, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("read stat of %d: field %d: %w", p.PID, field, e)
		}
		return n
	}
	p.Parent = int(num(4))
	p.CPU = time.Duration(num(14)+num(15)) * time.Second / userHz
	p.Buried = time.Duration(num(16)+num(17)) * time.Second / userHz
	p.RSS = num(24) * int64(os.Getpagesize())
	return p, err
}

// FS is where processes are listed.
type FS string

// Here is where this machine lists its own.
const Here FS = "/proc"

// Read finds one process.
func (fs FS) Read(pid int) (Process, error) {
	b, err := os.ReadFile(fs.file(pid, "stat"))
	if err != nil {
		return Process{}, fmt.Errorf("pid %d: %w: %w", pid, ErrNoProcess, err)
	}
	return parse(b)
}

func (fs FS) file(pid int, name string) string {
	return filepath.Join(string(fs), strconv.Itoa(pid), name)
}

// Under is a process and all below it, itself first.
func (fs FS) Under(root int) ([]Process, error) {
	all, err := fs.all()
	if err != nil {
		return nil, err
	}
	t, err := trees(all, []int{root})
	if err != nil {
		return nil, err
	}
	return t[0], nil
}

// Tree is the CPU time that a process and all below it have used so far, those that have ended too.
func (fs FS) Tree(root int) (time.Duration, error) {
	u, err := fs.Usage([]int{root})
	if err != nil {
		return 0, err
	}
	return u.CPU[0], nil
}

func (fs FS) all() (map[int]Process, error) {
	dir, err := os.ReadDir(string(fs))
	if err != nil {
		return nil, fmt.Errorf("list processes (figures of the server need Linux): %w", err)
	}
	all := make(map[int]Process, len(dir))
	for _, e := range dir {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := fs.Read(pid); err == nil { // else it ended meanwhile
			all[pid] = p
		}
	}
	return all, nil
}

// trees are the processes under each root, the root first. A process under several roots belongs to the nearest: of a
// server that runs its own Postgres, the server and the postmaster can both be named and are told apart.
func trees(all map[int]Process, roots []int) ([][]Process, error) {
	children := map[int][]int{}
	for _, p := range all {
		children[p.Parent] = append(children[p.Parent], p.PID)
	}
	for _, root := range roots {
		if _, ok := all[root]; !ok {
			return nil, fmt.Errorf("pid %d: %w", root, ErrNoProcess)
		}
	}
	out := make([][]Process, len(roots))
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

// Usage is what a set of process trees has used so far.
type Usage struct {
	CPU   []time.Duration // per root
	Names []string
	RSS   int64 // bytes, shared pages counted once per process
}

// Usage adds up the trees. The time of a process that ended inside a tree is in its parent's, so sums never fall.
func (fs FS) Usage(roots []int) (Usage, error) {
	var u Usage
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
		var used time.Duration
		for _, p := range tree {
			used += p.CPU + p.Buried
			u.RSS += p.RSS
		}
		u.CPU = append(u.CPU, used)
		u.Names = append(u.Names, all[roots[i]].Name)
	}
	return u, nil
}

// PSS adds up the proportional set sizes of the trees in bytes: pages shared by n processes count 1/n in each, so
// Postgres' shared buffers count once. 0 when the kernel does not say or the processes are someone else's.
func (fs FS) PSS(roots []int) int64 {
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
			b, err := os.ReadFile(fs.file(p.PID, "smaps_rollup"))
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

// Watch keeps the highest memory seen until it is stopped.
type Watch struct {
	stop chan struct{}
	done sync.WaitGroup
	rss  int64
	pss  int64
}

// Watch begins one.
func (fs FS) Watch(roots []int) *Watch {
	w := &Watch{stop: make(chan struct{})}
	if len(roots) == 0 {
		return w
	}
	w.done.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if u, err := fs.Usage(roots); err == nil {
				w.rss = max(w.rss, u.RSS)
			}
			if i%6 == 0 { // walks page tables: seldom
				w.pss = max(w.pss, fs.PSS(roots))
			}
			select {
			case <-w.stop:
				w.pss = max(w.pss, fs.PSS(roots))
				return
			case <-tick.C:
			}
		}
	})
	return w
}

// Peak ends the watch.
func (w *Watch) Peak() (rss, pss int64) {
	close(w.stop)
	w.done.Wait()
	return w.rss, w.pss
}

// Own is the CPU time of this process so far.
func Own() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

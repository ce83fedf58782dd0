package procfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

func statLine(pid int, name string, parent int, ticks [4]int, pages int) string {
	return fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560 100 0 0 0 %d %d %d %d 20 0 4 0 12345 1000000 %d 18446744073709551615 1 1 0\n",
		pid, name, parent, ticks[0], ticks[1], ticks[2], ticks[3], pages)
}

// fakeProc writes a process table: what a server with a postmaster and a stranger look like.
func fakeProc(t *testing.T, lines ...string) FS {
	t.Helper()
	dir := t.TempDir()
	for _, l := range lines {
		p, err := parse([]byte(l))
		if err != nil {
			t.Fatal(err)
		}
		d := filepath.Join(dir, strconv.Itoa(p.PID))
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "stat"), []byte(l), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "smaps_rollup"), []byte("00400000-7fff r--p [rollup]\nRss:  4096 kB\nPss:  1024 kB\nPss_Anon: 5 kB\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "sys"), 0o755); err != nil {
		t.Fatal(err)
	}
	return FS(dir)
}

func TestUsageSumsTrees(t *testing.T) {
	fs := fakeProc(t,
		statLine(10, "locus", 1, [4]int{100, 50, 0, 0}, 10),
		statLine(11, "postgres", 10, [4]int{10, 10, 30, 5}, 20), // 35 ticks of backends that have ended
		statLine(12, "postgres: a) (b", 11, [4]int{7, 3, 0, 0}, 5),
		statLine(13, "postgres", 11, [4]int{1, 1, 0, 0}, 5),
		statLine(20, "stranger", 1, [4]int{999, 999, 0, 0}, 99),
	)
	page := int64(os.Getpagesize())
	for _, c := range []struct {
		roots []int
		ticks []int64
		pages int64
		pss   int64
	}{
		{[]int{10}, []int64{150 + 55 + 10 + 2}, 40, 4 << 20},
		{[]int{10, 11}, []int64{150, 67}, 40, 4 << 20}, // the second root is inside the first: counted once
		{[]int{10, 10}, []int64{217, 0}, 40, 4 << 20},
		{[]int{11, 10}, []int64{67, 150}, 40, 4 << 20},
		{[]int{12}, []int64{10}, 5, 1 << 20},
		{nil, nil, 0, 0},
	} {
		u, err := fs.Usage(c.roots)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.ticks {
			if got := u.CPU[i]; got != time.Duration(want)*10*time.Millisecond {
				t.Errorf("roots %v: tree %d used %v, want %d ticks", c.roots, i, got, want)
			}
		}
		if u.RSS != c.pages*page || fs.PSS(c.roots) != c.pss {
			t.Errorf("roots %v: rss %d pss %d, want %d pages and %d", c.roots, u.RSS, fs.PSS(c.roots), c.pages, c.pss)
		}
	}
	if tree, err := fs.Tree(11); err != nil || tree != 670*time.Millisecond {
		t.Errorf("the tree of Postgres used %v: %v", tree, err)
	}
	if one, err := fs.Read(11); err != nil || one.CPU != 200*time.Millisecond || one.Buried != 350*time.Millisecond || one.RSS != 20*page {
		t.Errorf("the postmaster itself: %+v: %v", one, err)
	}
	if _, err := fs.Read(77); !errors.Is(err, ErrNoProcess) {
		t.Errorf("unknown pid: %v", err)
	}
	if _, err := fs.Usage([]int{10, 77}); !errors.Is(err, ErrNoProcess) {
		t.Errorf("unknown pid: %v", err)
	}
}

func TestParseRefusesRubbish(t *testing.T) {
	for _, s := range []string{"", "1 sh S", "x (sh) S 1", "1 (sh) S 1 2", statLine(1, "a", 1, [4]int{}, 1)[:40]} {
		if _, err := parse([]byte(s)); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}

// The real table: a child that burns CPU is found under this process, and what it burnt stays counted when it is gone.
func TestUsageOfRealProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("no /proc here")
		return
	}
	fs := Here
	me := []int{os.Getpid()}
	before, err := fs.Usage(me)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	after, err := fs.Usage(me)
	if err != nil {
		t.Fatal(err)
	}
	spent := cmd.ProcessState.SystemTime() + cmd.ProcessState.UserTime()
	if got := after.CPU[0] - before.CPU[0]; got < spent-20*time.Millisecond || after.RSS == 0 {
		t.Errorf("counted %v of a child that used %v; rss %d", got, spent, after.RSS)
	}
	if fs.PSS(me) <= 0 {
		t.Error("no proportional set size of this process")
	}
}

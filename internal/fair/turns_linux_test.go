package fair

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestShortTurns: all threads have the short turn, those that come later, too, and a program that is started from here.
func TestShortTurns(t *testing.T) {
	if os.Getenv("LOCUS_TEST_TURNS") == "" { // in a process of its own: what it does cannot be undone for threads to come
		cmd := exec.Command(os.Args[0], "-test.run=^TestShortTurns$", "-test.v")
		cmd.Env = append(os.Environ(), "LOCUS_TEST_TURNS=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	ShortTurns()
	if got := turnOf(t, 0); got != uint64(turn) {
		if !newEnough(t) {
			t.Logf("this kernel knows no turns of a thread: %d", got)
			return
		}
		t.Fatalf("a turn of %d ns", got)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			runtime.LockOSThread() // so each has a thread, of which some are new
			if got := turnOf(t, 0); got != uint64(turn) {
				t.Errorf("a thread has a turn of %d ns", got)
			}
		})
	}
	all.Wait()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := turnOf(t, cmd.Process.Pid); got != uint64(turn) {
		t.Errorf("a program has a turn of %d ns", got)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func turnOf(t *testing.T, thread int) uint64 {
	t.Helper()
	attr, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		t.Error(err)
		return 0
	}
	return attr.Runtime
}

// newEnough tells whether the kernel is one of those that know it.
func newEnough(t *testing.T) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	major, err := strconv.Atoi(parts[0])
	if err != nil || len(parts) < 2 {
		return false
	}
	minor, err := strconv.Atoi(parts[1])
	return err == nil && (major > 6 || major == 6 && minor >= 12)
}

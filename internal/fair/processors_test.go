package fair

import (
	"runtime"
	"testing"
)

func TestCrowd(t *testing.T) {
	for processors, want := range map[int]int{1: 2, 2: 4, 4: 8, 16: 32, 64: 80} {
		if got := crowd(processors); got != want {
			t.Errorf("%d processors: %d threads, want %d", processors, got, want)
		}
	}
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "")
	Crowd()
	if got := runtime.GOMAXPROCS(0); got != crowd(Processors) {
		t.Errorf("%d", got)
	}
	t.Setenv("GOMAXPROCS", "2")
	runtime.GOMAXPROCS(2)
	Crowd()
	if got := runtime.GOMAXPROCS(0); got != 2 {
		t.Errorf("what somebody set became %d", got)
	}
}

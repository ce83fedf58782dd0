package main

import "testing"

func TestHeapPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 6400, 1 << 20: 6400, 16 << 20: 400, 64 << 20: 100, 4 << 30: 100} {
		if got := heapPercent(live, 64<<20); got != want {
			t.Errorf("with %d bytes that live it is %d, not %d", live, got, want)
		}
	}
}

package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapRoom is how much is allocated between two collections of garbage at least. By itself the runtime collects when the
// heap has doubled, and a small server under load that allocates much then does little else: at 10 MB dozens of times a
// second, each time with all requests held up for a moment.
const heapRoom = 64 << 20

// roomyHeap has the runtime wait for heapRoom, from now on and whatever lives. Somebody who sets GOGC decides by that.
func roomyHeap() {
	if os.Getenv("GOGC") != "" {
		return
	}
	set := 100
	var afterEach func()
	afterEach = func() {
		if percent := heapPercent(heapLive(), heapRoom); percent > set+set/8 || percent < set-set/8 {
			set = percent
			debug.SetGCPercent(percent)
		}
		watchCollection(afterEach)
	}
	afterEach()
}

// watchCollection calls f after the next collection.
func watchCollection(f func()) { runtime.SetFinalizer(new([64]byte), func(*[64]byte) { f() }) }

// heapPercent is by how much a heap may grow over what lives: as much as it is, and by room at least.
func heapPercent(live, room uint64) int {
	return int(max(100, min(room*100/max(live, 1<<20), 6400)))
}

func heapLive() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return heapRoom
	}
	return s[0].Value.Uint64()
}

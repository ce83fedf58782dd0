// Package cachetest is for tests of what caches hold.
package cachetest

import "runtime"

// LiveHeap is what is reachable now, in bytes.
func LiveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of in the first round
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

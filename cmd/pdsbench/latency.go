package main

import (
	"math/bits"
	"time"
)

// subBits sets the precision of a latencies: 128 steps in every power of two, so a percentile is at most 0.8 % too
// high.
const subBits = 7

// latencies counts durations in logarithmic steps of constant size; it needs no memory per sample and adds up over
// clients.
type latencies struct {
	counts   [64 << subBits]uint32
	n        int64
	sum, max time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.counts[slot(d)]++
	l.n++
	l.sum += d
	l.max = max(l.max, d)
}

func (l *latencies) merge(o *latencies) {
	for i, n := range o.counts {
		l.counts[i] += n
	}
	l.n += o.n
	l.sum += o.sum
	l.max = max(l.max, o.max)
}

// slot numbers durations: below 128 ns one each, above that 128 to each power of two.
func slot(d time.Duration) int {
	v := uint64(max(d, 0))
	e := bits.Len64(v) - subBits - 1
	if e <= 0 {
		return int(v)
	}
	return e<<subBits + int(v>>e)
}

// slotTop is the largest duration that falls into a slot.
func slotTop(i int) time.Duration {
	if i < 2<<subBits {
		return time.Duration(i)
	}
	e := i>>subBits - 1
	return time.Duration((uint64(i-e<<subBits)+1)<<e - 1)
}

// percentile is the smallest duration that p percent of the samples do not exceed (nearest rank), 0 without samples.
func (l *latencies) percentile(p float64) time.Duration {
	if l.n == 0 {
		return 0
	}
	rank := int64(p / 100 * float64(l.n))
	if float64(rank)*100 < p*float64(l.n) {
		rank++
	}
	rank = max(rank, 1)
	var seen int64
	for i, n := range l.counts {
		seen += int64(n)
		if seen >= rank {
			return min(slotTop(i), l.max)
		}
	}
	return l.max
}

func (l *latencies) mean() time.Duration {
	if l.n == 0 {
		return 0
	}
	return l.sum / time.Duration(l.n)
}

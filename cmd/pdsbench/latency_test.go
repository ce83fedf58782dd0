package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPercentilesAreNearestRank(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 99, 100, 101, 5000} {
		var l latencies
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(r.ExpFloat64() * float64(3*time.Millisecond))
			l.add(all[i])
		}
		slices.Sort(all)
		for _, p := range []float64{1, 50, 90, 99, 99.9, 100} {
			rank := 1
			for float64(rank)*100 < p*float64(n) {
				rank++
			}
			want, got := all[rank-1], l.percentile(p)
			if got < want || float64(got) > float64(want)*1.008 {
				t.Errorf("n=%d p%v: %v, want %v up to 0.8 %% more", n, p, got, want)
			}
		}
		if l.percentile(100) != all[n-1] || l.n != int64(n) {
			t.Errorf("n=%d: max %v of %d, want %v", n, l.percentile(100), l.n, all[n-1])
		}
	}
	var none latencies
	if none.percentile(50) != 0 || none.mean() != 0 {
		t.Error("no samples must give 0")
	}
}

func TestSlotsCoverEveryDurationInOrder(t *testing.T) {
	last := -1
	for v := uint64(0); v < 1<<62; v += v/300 + 1 {
		i := slot(time.Duration(v))
		if i < last || i >= len(latencies{}.counts) {
			t.Fatalf("slot(%d) = %d after %d", v, i, last)
		}
		if top := uint64(slotTop(i)); top < v || top-v > v/128 {
			t.Fatalf("slot %d of %d ends at %d", i, v, top)
		}
		last = i
	}
	if slot(-5) != 0 {
		t.Error("a clock that went backwards must count as 0")
	}
}

func TestLatenciesMerge(t *testing.T) {
	var a, b, both latencies
	for i := range 1000 {
		d := time.Duration(i) * time.Microsecond
		both.add(d)
		if i%3 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	if a != both {
		t.Error("merged latencies differ from those counted together")
	}
}

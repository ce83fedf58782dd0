package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// result is what a round did: before, during and after it.
type result struct {
	name    string
	clients int
	open    [3]int
	memory  [3]int64   // during: the most
	p99     [3]float64 // ms
	broken  []string
	stopped bool
}

// play plays a round and watches the neighbour.
func (f *field) play(ctx context.Context, o options, r round) (result, error) {
	res := result{name: r.name}
	var grow int64
	slower, gone := 0.0, time.Duration(0)
	f.calls = 0
	for _, c := range r.classes {
		grow += max(c.grow, 0)
		slower = max(slower, cmp.Or(c.slower, usualSlower)) // of many at once the widest counts
		if c.name == slowServices.name {
			f.calls = max(1, int(float64(c.clients)*o.scale))
		}
		gone = max(gone, c.gone)
	}
	if grow == 0 {
		grow = usualGrowth
	}
	var err error
	for _, c := range r.classes {
		if c.prepare != nil {
			if err := c.prepare(f, ctx); err != nil {
				return res, err
			}
		}
	}
	if res.p99[0], err = f.neighbour(ctx, 2*time.Second, r.classes); err != nil {
		return res, err
	}
	if res.open[0], res.memory[0], err = f.look(); err != nil {
		return res, err
	}
	attacking, end := context.WithCancel(ctx)
	defer end()
	w := f.watch(attacking, o.memory<<20, end)
	var loads []*load
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, c := range r.classes {
		n := max(1, int(float64(c.clients)*o.scale))
		res.clients += n
		wg.Go(func() {
			l, err := c.start(attacking, f, n)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && attacking.Err() == nil {
				failed = fmt.Errorf("%s: %w", c.name, err)
			}
			if l != nil {
				loads = append(loads, l)
			}
		})
	}
	began := time.Now()
	wg.Wait()
	release := func() {
		for _, l := range loads {
			l.close()
		}
		loads = nil
	}
	defer release()
	if failed != nil {
		return res, failed
	}
	if res.p99[1], err = f.neighbour(attacking, o.during, r.classes); err != nil && attacking.Err() == nil {
		return res, err
	}
	if res.open[1], _, err = f.look(); err != nil {
		return res, err
	}
	if gone > 0 {
		// Those who may stay leave; the others the server must have closed by now.
		for _, l := range loads {
			if l.mayStay {
				l.close()
			}
		}
		wait(attacking, time.Until(began.Add(gone)))
		if res.open[2], _, err = f.look(); err != nil {
			return res, err
		}
		if extra := res.open[2] - res.open[0]; extra > 8 && attacking.Err() == nil {
			res.broken = append(res.broken, fmt.Sprintf("%d connections are still open after %s", extra, gone))
		}
	}
	res.memory[1] = w.stop()
	res.stopped = attacking.Err() != nil && ctx.Err() == nil
	release()
	end()
	wait(ctx, time.Second)
	open, memory, err := f.look()
	if err != nil {
		return res, err
	}
	if gone == 0 {
		res.open[2] = open
	}
	res.memory[2] = memory
	if res.p99[2], err = f.neighbour(ctx, 2*time.Second, r.classes); err != nil {
		if res.stopped {
			err = nil
		}
		if err != nil {
			return res, err
		}
	}
	if more := (res.memory[1] - res.memory[0]) >> 20; more > grow {
		res.broken = append(res.broken, fmt.Sprintf("memory grew by %d MiB, %d may be", more, grow))
	}
	if res.p99[1] > slower*max(res.p99[0], quickest) {
		res.broken = append(res.broken, fmt.Sprintf("the neighbour's p99 is %.0f ms, %.1f before", res.p99[1], res.p99[0]))
	}
	return res, ctx.Err()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// percentile99 sorts list.
func percentile99(list []time.Duration) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return float64(list[(len(list)*99+99)/100-1].Microseconds()) / 1000
}

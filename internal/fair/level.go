package fair

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

const (
	beat      = 5 * time.Millisecond // how far apart it is tried how late work is
	beats     = 10                   // tries of a judgement
	beatLate  = time.Millisecond     // a try that took longer is late
	beatsLate = 2                    // so many late ones, and work is
)

// Run looks how late work is while a tenant has more at work than there are processors and another is here, and lets more
// or fewer in by it, until ctx ends. It sends itself the time through a pipe: like a request's bytes, that has to be seen
// when the scheduler looks at the network, and then its reader needs a processor.
func (d *Door) Run(ctx context.Context) error {
	in, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("a pipe to measure how late work is: %w", err)
	}
	l := &lateness{began: time.Now()}
	read := make(chan struct{})
	go func() { defer close(read); l.read(in) }()
	defer func() {
		_ = out.Close()
		<-read
		_ = in.Close()
		d.open()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.alarm:
		}
		for more := true; more; more = d.judge(time.Now(), l.take()) {
			for range beats {
				due := time.Since(l.began) + beat
				time.Sleep(beat)
				l.send(out, due)
				d.beat(time.Now())
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	}
}

// open lets everybody in, for good: nobody looks any more.
func (d *Door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.awake = true
	d.set(0, time.Now())
}

// beat no longer counts those that have been inside for long, and lets tenants send on.
func (d *Door) beat(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.tenants {
		for a.oldest != nil && now.Sub(a.oldest.since) > doorStay {
			a.oldest.out()
		}
		a.credit = min(a.credit, 0) + sendShare(d.level)
		d.admit(a, now)
	}
}

// sendShare is for how long a tenant may send to its subscribers in one beat: a quarter of what its places are. Sending
// keeps the kernel and those who read busy, too.
func sendShare(level int) time.Duration { return beat * time.Duration(level) / 4 }

// judge sets the level by whether work was late since the last time. It says whether there is reason to go on looking.
func (d *Door) judge(now time.Time, late bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	most, here, want := d.most, d.forget(now), 0
	d.most = 0
	for _, a := range d.tenants {
		if a.waiting() > 0 || d.level > 0 && a.inside >= d.level {
			want++
		}
	}
	least := max(1, (d.processors+1)/2/max(1, want))
	switch {
	case here < 2 || d.level > doorMost:
		d.set(0, now)
	case late && d.level > 0:
		d.set(max(least, d.level/2), now)
	case late && most > least:
		d.set(max(least, most/2), now)
	case d.level > 0 && (d.level < least || now.Sub(d.changed) >= doorRaise):
		d.set(max(least, d.level+max(1, d.level/4)), now)
	}
	d.awake = here > 1 && (d.level > 0 || now.Sub(d.crowded) < doorHere)
	return d.awake
}

func (d *Door) set(level int, now time.Time) {
	d.level, d.changed = level, now
	for _, a := range d.tenants {
		d.admit(a, now)
	}
}

// lateness counts tries.
type lateness struct {
	began      time.Time
	sent       int64 // since the start
	came, late atomic.Int64
}

// send sends a try that was due at a time.
func (l *lateness) send(out *os.File, due time.Duration) {
	if l.sent > l.came.Load()+beats {
		return // its reader is as late as can be, and the pipe must not fill
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(due))
	if _, err := out.Write(b[:]); err == nil {
		l.sent++
	}
}

func (l *lateness) read(in *os.File) {
	var b [8]byte
	for {
		if _, err := in.Read(b[:]); err != nil {
			return
		}
		if time.Since(l.began)-time.Duration(binary.LittleEndian.Uint64(b[:])) > beatLate {
			l.late.Add(1)
		}
		l.came.Add(1)
	}
}

// take says whether work was late since the last time. A try that has not come is late, too, but for the newest.
func (l *lateness) take() bool {
	missing := l.sent - l.came.Load() - 1
	return l.late.Swap(0)+max(0, missing) >= beatsLate
}

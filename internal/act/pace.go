package act

import (
	"context"
	"sync"
	"time"
)

// slowest is how rarely a directory is asked that says again and again that it is asked too much.
const slowest = 10 * time.Second

// pace spaces what a directory is asked.
type pace struct {
	usual time.Duration
	now   func() time.Time
	sleep func(ctx context.Context, d time.Duration) error

	mu    sync.Mutex
	every time.Duration // at the moment
	next  time.Time
}

func newPace(rate int, now func() time.Time, sleep func(context.Context, time.Duration) error) *pace {
	every := time.Second / time.Duration(max(1, rate))
	return &pace{usual: every, every: every, now: now, sleep: sleep}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// wait returns when it is the caller's turn.
func (p *pace) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		now := p.now()
		left := p.next.Sub(now)
		if left <= 0 {
			p.next = now.Add(p.every)
		}
		p.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if err := p.sleep(ctx, left); err != nil {
			return err
		}
	}
}

// slow has everybody wait: the directory refuses for the moment. With less it is asked half as often afterwards.
func (p *pace) slow(d time.Duration, less bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.now().Add(d)
	if !p.next.Before(at) {
		return // somebody else who was refused has said so
	}
	p.next = at
	if less {
		p.every = min(2*p.every, max(slowest, p.usual))
	}
}

// well says that the directory took something: little by little it is asked as often as before.
func (p *pace) well() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = max(p.usual, p.every-p.every/20)
}

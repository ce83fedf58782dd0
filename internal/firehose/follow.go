package firehose

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/auroralocus/locus/db"
)

// walkedAt is how many streams are looked at in one [Config.Walk]: ten a second.
const walkedAt = 2400

// choresEvery is how often events are let go that are too old.
const choresEvery = 10 * time.Second

// follow looks at the stream when there may be something, until nobody wants to know any more.
func (tl *tail) follow(ctx context.Context, watch *Watch) {
	t := tl.tails
	timer := time.NewTimer(0)
	defer timer.Stop()
	var trimmed time.Time
	busy := t.now() // when there was something last
	looked, step := time.Now(), rand.N(t.walk())
	for backoff := time.Duration(0); ; {
		every := tl.interval(t.now().Sub(busy), step)
		timer.Reset(min(every-time.Since(looked), tl.chores()))
		before := tl.ring.Load().last
		how := wantNothing
		if backoff > 0 {
			sleep(ctx, backoff)
			how = wantNow
		} else {
			select {
			case <-ctx.Done():
			case <-watch.C:
				how = wantHinted
			case <-tl.nudged:
				how = want(tl.wanted.Swap(int32(wantNothing)))
			case <-timer.C:
				if time.Since(looked) >= every {
					how = wantPaced
				}
			}
		}
		if ctx.Err() != nil || t.abandoned(tl) {
			return
		}
		if how != wantNothing {
			err := tl.lookAs(ctx, how, watch)
			looked, step = time.Now(), t.walk()
			switch {
			case err != nil && ctx.Err() == nil:
				if !tl.failing && !db.IsUnavailable(err) { // which db tells the log
					t.log.Warn("stream cannot be read; subscribers wait", "schema", tl.tenant.Schema(), "err", err)
				}
				tl.failing = true
				backoff = min(max(2*backoff, t.cfg.Poll), time.Second)
			default:
				tl.failing, backoff = false, 0
				if tl.ring.Load().last != before {
					busy = t.now()
				}
			}
		}
		if now := t.now(); now.Sub(trimmed) > time.Second || now.Before(trimmed) {
			trimmed = now
			if r := tl.ring.Load(); tl.excess(r) > 0 {
				tl.publish(tl.shorter(r))
			}
		}
	}
}

// want is what a tail is asked to do.
type want int32

const (
	wantNothing want = iota // but to see whether it is needed, and how
	wantPaced               // to look when it is its turn
	wantNow                 // to look
	wantHinted              // to read what there is
)

// nudge asks a tail for something. It never blocks.
func (tl *tail) nudge(w want) {
	for old := tl.wanted.Load(); int32(w) > old && !tl.wanted.CompareAndSwap(old, int32(w)); {
		old = tl.wanted.Load()
	}
	select {
	case tl.nudged <- struct{}{}:
	default:
	}
}

// interval is how often the stream is looked at that nobody says anything of. The longer it has been quiet, the less
// often.
func (tl *tail) interval(quiet, walk time.Duration) time.Duration {
	t := tl.tails
	if !tl.checked.IsZero() && t.relies(tl.tenant.Node()) && t.now().Sub(tl.foreign) >= foreignFor {
		return walk
	}
	return max(t.cfg.Poll, min(quiet/40, t.cfg.QuietPoll))
}

// walk is how often a quiet stream is looked at while notes are relied on. Above walkedAt of them each has to wait longer, so
// that the looks of a process are no more often.
func (t *Tails) walk() time.Duration {
	return t.cfg.Walk / walkedAt * time.Duration(max(walkedAt, t.Followed()))
}

// chores is when the tail has something to do besides looking at the stream.
func (tl *tail) chores() time.Duration {
	t := tl.tails
	wait := t.cfg.Walk
	if r := tl.ring.Load(); len(r.items) > 0 {
		wait = min(wait, max(time.Second, min(r.items[0].known.Add(t.cfg.RingAge).Sub(t.now()), choresEvery)))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if tl.refs == 0 {
		wait = min(wait, t.cfg.Linger)
	}
	return wait
}

// lookAs looks at the stream. Those who look only in case there is something wait for each other; a hint ends that.
func (tl *tail) lookAs(ctx context.Context, how want, watch *Watch) error {
	if how == wantPaced {
		places := tl.tails.pace(tl.tenant.Node())
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-watch.C:
			how = wantHinted
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	before := tl.ring.Load().last
	err := tl.look(ctx, how == wantHinted)
	if errors.Is(err, errOtherHistory) {
		err = tl.stepBack(ctx)
	}
	if last := tl.ring.Load().last; last != before && last > tl.tails.hub.highest(tl.tenant.Schema()) {
		tl.foreign = tl.tails.now()
	}
	return err
}

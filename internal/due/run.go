package due

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// askEvery is how often a process asks whether anything is due, about.
	askEvery = 2 * time.Second
	// WalkEvery is how often a tenant is looked at in full, about.
	WalkEvery = 6 * time.Hour
	// seedEvery is how often it is looked for tenants that nobody walks to: those of an older version, above all.
	seedEvery = time.Hour
	// seedSpread is over how long their first looks are spread.
	seedSpread = time.Hour
	// After a failure work is tried again: first and last wait.
	firstRetry = time.Minute
	lastRetry  = time.Hour
	// longestRest bounds the pause behind one long piece of work.
	longestRest = 10 * time.Second
	// giveBackTime is for saying what became of work when the process ends.
	giveBackTime = 5 * time.Second

	defaultLease = 2 * time.Minute
)

// Work is what is done about one kind.
type Work struct {
	// Do does what a tenant has due, and says when there is something again; the zero time: nothing is known. It is
	// called again after an error. Its statements on tenants' schemas have the connections of the background.
	Do func(ctx context.Context, tenantID int64) (next time.Time, err error)
	// Hands is at how many tenants a process works at once. Default 1.
	Hands int
	// Rest is how long a hand rests, as a multiple of what the work took: 4 is a fifth of the time at work.
	Rest int
	// Lease is how long a process that says nothing has the work. Default two minutes.
	Lease time.Duration
	// Apart is how long after one look there is no other, whatever anybody promises, but for the date that the work gave.
	Apart time.Duration
}

type kind struct {
	Work
	name     Kind
	free     chan struct{} // one for each hand that is free
	draining atomic.Bool
}

// Handle adds a kind of work, before Run.
func (b *Book) Handle(k Kind, w Work) {
	w.Hands = max(w.Hands, 1)
	if w.Lease <= 0 {
		w.Lease = defaultLease
	}
	own := &kind{Work: w, name: k, free: make(chan struct{}, w.Hands)}
	for range w.Hands {
		own.free <- struct{}{}
	}
	b.kinds[k] = own
}

// Run writes promises and does what is due until the context ends, and then finishes what it has begun.
func (b *Book) Run(ctx context.Context) error {
	defer b.working.Wait()
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
		defer cancel()
		_ = b.Flush(last) // a walk finds what is lost
	}()
	var seeded, asked time.Time
	for ctx.Err() == nil {
		err := b.Flush(ctx)
		if err == nil && (seeded.IsZero() || time.Since(seeded) >= seedEvery) {
			if err = b.seed(ctx); err == nil {
				seeded = time.Now()
			}
		}
		if err == nil {
			err = b.ask(ctx)
			asked = time.Now()
		}
		b.report(ctx, err)
		b.idle(ctx, asked)
	}
	return nil
}

// report says once that the table cannot be used, and once that it can.
func (b *Book) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !b.failing && !db.IsUnavailable(err): // which db tells the log
		b.log.Warn("it cannot be found out what is due; trying again", "err", err)
		b.failing = true
	case err == nil && b.failing:
		b.log.Info("what is due is found again")
		b.failing = false
	}
}

// idle waits until there is a promise to write or it is time to ask.
func (b *Book) idle(ctx context.Context, asked time.Time) {
	wait := b.askEvery*3/4 + rand.N(b.askEvery/2)
	if b.pending() {
		wait = min(wait, lazily)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-b.wake:
		select {
		case <-ctx.Done():
		case <-time.After(promptly): // the first of several
		}
	}
}

// seed promises a walk to tenants that nobody walks to.
func (b *Book) seed(ctx context.Context) error {
	if b.kinds[Walk] == nil {
		return nil
	}
	b.trips.Add(1)
	_, err := b.db.Control().InsertDueMissing(ctx, controldb.InsertDueMissingParams{
		Kind: string(Walk), Now: b.now().UTC(), Spread: int64(seedSpread / time.Second),
	})
	return err
}

// ask finds out which kinds have something due, and begins with them.
func (b *Book) ask(ctx context.Context) error {
	var idle []string
	for name, k := range b.kinds {
		if !k.draining.Load() {
			idle = append(idle, string(name))
		}
	}
	if len(idle) == 0 {
		return nil
	}
	b.trips.Add(1)
	due, err := b.db.Control().ListDueKinds(ctx, controldb.ListDueKindsParams{Kinds: idle, Now: b.now().UTC(), MaxRows: int32(len(idle))})
	if err != nil {
		return err
	}
	for _, name := range due {
		k := b.kinds[Kind(name)]
		k.draining.Store(true)
		b.working.Go(func() {
			defer k.draining.Store(false)
			if err := b.drain(ctx, k); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
				b.log.Warn("what is due cannot be taken; trying again", "kind", k.name, "err", err)
			}
		})
	}
	return nil
}

// drain takes what is due of a kind, as many at a time as there are hands free, until there is no more.
func (b *Book) drain(ctx context.Context, k *kind) error {
	for {
		hands := k.hands(ctx)
		if hands == 0 {
			return nil
		}
		now := b.now().Truncate(time.Microsecond).UTC()
		held := now.Add(k.Lease)
		b.trips.Add(1)
		rows, err := b.db.Control().LockDue(ctx, controldb.LockDueParams{Until: held, Now: now, Kind: string(k.name), MaxRows: int32(hands)})
		for range hands - len(rows) {
			k.free <- struct{}{}
		}
		if err != nil {
			return err
		}
		for _, r := range rows {
			b.working.Go(func() { b.work(ctx, k, &taken{LockDueRow: r, at: now, held: held}) })
		}
		if len(rows) < hands {
			return nil
		}
	}
}

// hands waits for a free hand, and takes all that are.
func (k *kind) hands(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case <-k.free:
	}
	for n := 1; ; n++ {
		select {
		case <-k.free:
		default:
			return n
		}
	}
}

// taken is work that this process has the lease of.
type taken struct {
	controldb.LockDueRow
	at, held time.Time
}

// work does one tenant's share of a kind and gives it back, with the date of the next one.
func (b *Book) work(ctx context.Context, k *kind, t *taken) {
	defer func() { k.free <- struct{}{} }()
	began := time.Now()
	stop := b.keep(ctx, k, t)
	watched, ended := b.begins(db.InBackground(ctx), string(k.name))
	next, err := k.Do(watched, t.TenantID)
	ended(err)
	stop()
	took := time.Since(began)
	now := b.now().UTC()
	floor := now.Add(k.Apart)
	if !next.IsZero() && next.Before(floor) {
		floor = next
	}
	failures := int32(0)
	switch {
	case ctx.Err() != nil: // cut off: somebody else goes on at once
		next, floor, failures = now, now, t.Failures
	case err != nil:
		failures = t.Failures + 1
		next = now.Add(min(firstRetry<<min(t.Failures, 10), lastRetry))
		floor = next
		if !db.IsUnavailable(err) {
			b.log.Warn("what is due could not be done; it is tried again", "kind", k.name, "tenant_id", t.TenantID, "next_try", next, "err", err)
		}
	}
	if err := b.giveBack(ctx, k, t, next, floor, failures); err != nil && !db.IsUnavailable(err) {
		b.log.Warn("what was done cannot be written down; it is looked at again when the lease ends", "kind", k.name, "tenant_id", t.TenantID, "err", err)
	}
	rest := time.NewTimer(min(took*time.Duration(k.Rest), longestRest))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
}

// keep renews the lease until stop is called.
func (b *Book) keep(ctx context.Context, k *kind, t *taken) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(k.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			until := b.now().Add(k.Lease).Truncate(time.Microsecond).UTC()
			b.trips.Add(1)
			n, err := b.db.Control().UpdateDueHeld(context.WithoutCancel(ctx), controldb.UpdateDueHeldParams{
				Until: until, TenantID: t.TenantID, Kind: string(k.name), Held: t.held,
			})
			if err == nil && n > 0 {
				t.held = until
			}
		}
	}()
	return func() { close(end); <-ended }
}

func (b *Book) giveBack(ctx context.Context, k *kind, t *taken, next, floor time.Time, failures int32) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	p := controldb.UpdateDueDoneParams{
		FloorAt: floor, TakenAt: t.at, Failures: failures, TenantID: t.TenantID, Kind: string(k.name), Held: t.held,
	}
	if !next.IsZero() {
		next = next.UTC()
		p.NextAt = &next
	}
	b.trips.Add(1)
	at, err := b.db.Control().UpdateDueDone(ctx, p)
	if db.IsNoRows(err) {
		return nil // the lease has ended, and somebody else has it
	}
	if err != nil {
		return err
	}
	if at.Unix() == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[entry{t.SchemaName, k.name}] = at
	return nil
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/due"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// promiseTime is how long an ending command takes to write down what is due.
	promiseTime = 2 * time.Second
	// later is when a tenant is looked at again whose work did not get done, though nothing failed: what it waits for is
	// elsewhere.
	later = 10 * time.Minute
	// crawlsApart is how long after one look at a tenant's relays there is no other. Each relay's own turn is longer, and the
	// events until then promise no look: it is for settings that are changed again and again.
	crawlsApart = 5 * time.Second
)

// promises is the book of what is due: whatever writes to a tenant's schema, or changes its settings, has it looked at.
func promises(d *db.DB, tenants *tenant.Registry, now func() time.Time, log *slog.Logger) *due.Book {
	book := due.New(d, now, log)
	d.OnWrite(book.Touched)
	tenants.OnChange(func(t *tenant.Tenant) {
		book.Mark(t.Schema, due.Walk, now())
		if len(t.Settings.Crawlers) > 0 && t.HasStream() { // a relay that is new in the settings is told at once
			book.Mark(t.Schema, due.Crawls, now())
		}
	})
	return book
}

// tellOthers is a hub for a command that serves nobody: the processes that do are told of its events. Call told before the
// database is closed.
func tellOthers(d *db.DB, log *slog.Logger) (hub *firehose.Hub, told func()) {
	notes := firehose.NewNotes(d, process.New(d, time.Now, log).ID(), nil, time.Now, log)
	hub = firehose.NewHub()
	hub.Tell(notes)
	return hub, func() { closeNotes(context.Background(), notes, log) }
}

func closeNotes(ctx context.Context, notes *firehose.Notes, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, promiseTime)
	defer cancel()
	if err := notes.Close(ctx); err != nil && !db.IsUnavailable(err) {
		log.Warn("other processes see the last events later than usual", "err", err)
	}
}

// handle says what this process does about what is due.
func (a *app) handle(files *blob.Sweeper, keeper *firehose.Keeper) {
	now := time.Now
	each := func(do func(context.Context, *tenant.Tenant) (time.Time, error)) func(context.Context, int64) (time.Time, error) {
		return func(ctx context.Context, id int64) (time.Time, error) {
			t, err := a.tenants.ByID(ctx, id)
			switch {
			case errors.Is(err, tenant.ErrNotFound): // not yet, or not any more
				return now().Add(later), nil
			case err != nil:
				return time.Time{}, err
			case t.State == tenant.Moving, !t.HasStream(): // a change of state has it walked to
				return time.Time{}, nil
			}
			return do(ctx, t)
		}
	}
	// active is for what only a tenant that is served has done; its stream is looked after longer.
	active := func(do func(context.Context, *tenant.Tenant) (time.Time, error)) func(context.Context, int64) (time.Time, error) {
		return each(func(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
			if t.State != tenant.Active {
				return time.Time{}, nil
			}
			return do(ctx, t)
		})
	}
	look := func(ctx context.Context, t *tenant.Tenant) (due.Dates, error) {
		return a.book.LookAt(ctx, t.Schema, ages(t))
	}
	// again is the next date of a kind behind its work. What is there still comes later.
	again := func(ctx context.Context, t *tenant.Tenant, k due.Kind) (time.Time, error) {
		dates, err := look(ctx, t)
		at := dates[k]
		if !at.IsZero() && !at.After(now()) {
			at = now().Add(later)
		}
		return at, err
	}
	a.book.Handle(due.Look, due.Work{Rest: 4, Do: each(func(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
		_, err := look(ctx, t)
		return time.Time{}, err
	})})
	a.book.Handle(due.Walk, due.Work{Rest: 19, Apart: time.Minute, Do: func(ctx context.Context, id int64) (time.Time, error) {
		next := now().Add(due.WalkEvery*3/4 + rand.N(due.WalkEvery/2))
		_, err := each(a.walk)(ctx, id)
		return next, err
	}})
	a.book.Handle(due.Mail, due.Work{Hands: 8, Do: active(a.outbox.Due)})
	a.book.Handle(due.Accounts, due.Work{Rest: 4, Apart: time.Minute, Do: active(func(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
		if err := a.sweeper.Accounts(ctx, t); err != nil {
			return time.Time{}, err
		}
		return again(ctx, t, due.Accounts)
	})})
	a.book.Handle(due.Expiries, due.Work{Rest: 9, Apart: later, Do: active(func(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
		dates, err := a.sweeper.Expire(ctx, t)
		if err == nil && !dates.Accounts.IsZero() {
			a.book.Mark(t.Schema, due.Accounts, dates.Accounts)
		}
		return dates.Expiries, err
	})})
	a.book.Handle(due.Blobs, due.Work{Hands: 2, Rest: 1, Apart: 20 * time.Second, Lease: later, Do: active(func(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
		if err := files.Tenant(ctx, t); err != nil {
			return time.Time{}, err
		}
		return again(ctx, t, due.Blobs)
	})})
	a.book.Handle(due.Events, due.Work{Rest: 4, Apart: later, Do: each(func(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
		_, next, err := keeper.DropOld(ctx, site(t))
		return next, err
	})})
	a.book.Handle(due.Crawls, due.Work{Hands: 8, Apart: crawlsApart, Do: each(func(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
		return keeper.Announce(ctx, site(t))
	})})
}

// walk promises all that a tenant has due.
func (a *app) walk(ctx context.Context, t *tenant.Tenant) (time.Time, error) {
	if _, err := a.book.LookAt(ctx, t.Schema, ages(t)); err != nil {
		return time.Time{}, err
	}
	dates, err := a.sweeper.Dates(ctx, t)
	if err != nil {
		return time.Time{}, err
	}
	if !dates.Accounts.IsZero() {
		a.book.Mark(t.Schema, due.Accounts, dates.Accounts)
	}
	if !dates.Expiries.IsZero() {
		a.book.Mark(t.Schema, due.Expiries, dates.Expiries)
	}
	return time.Time{}, nil
}

func ages(t *tenant.Tenant) due.Ages {
	s := &t.Settings
	out := due.Ages{Temporary: time.Duration(s.BlobTemporaryHours) * time.Hour, Window: time.Duration(s.FirehoseRetentionHours) * time.Hour}
	if len(s.Crawlers) > 0 && !s.Isolated {
		out.Crawl = firehose.CrawlEvery
	}
	return out
}

// site is what the keeper of streams has to know of a tenant.
func site(t *tenant.Tenant) firehose.Site {
	out := firehose.Site{Schema: t.Schema, Window: time.Duration(t.Settings.FirehoseRetentionHours) * time.Hour}
	if u, err := url.Parse(t.PublicURL); err == nil && !t.Settings.Isolated {
		out.Hostname, out.Crawlers = u.Host, t.Settings.Crawlers
	}
	return out
}

// answers tells whether this process serves a tenant. It asks in process: from inside, a host's public address often
// cannot be reached.
func (a *app) answers(ctx context.Context, host string) error {
	_, err := a.tenants.ByHost(ctx, host)
	if errors.Is(err, tenant.ErrTenantSuspended) || errors.Is(err, tenant.ErrTenantDeleted) {
		return nil // the stream is served all the same, and says so
	}
	return err
}

// where is this process for people: its host's name and the address that it serves at.
func (s *serving) where() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + " " + s.web.Addr().String()
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const clients = 16

func (f *field) ask(ctx context.Context, method, host, path, token string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, resp.StatusCode, raw)
	}
	return err
}

func (f *field) get(ctx context.Context, host, path string) error {
	return f.ask(ctx, http.MethodGet, host, path, "", nil)
}

const post = "app.bsky.feed.post"

func newPost() map[string]any {
	return map[string]any{"$type": post, "text": "Just some words that somebody wrote today, as people do.", "createdAt": time.Now().UTC().Format(time.RFC3339Nano)}
}

func (f *field) write(ctx context.Context, w writer) error {
	body, err := json.Marshal(map[string]any{"repo": w.did, "collection": post, "record": newPost()})
	if err != nil {
		return err
	}
	return f.ask(ctx, http.MethodPost, w.host, "/xrpc/com.atproto.repo.createRecord", w.token, body)
}

const profile = "/xrpc/com.atproto.repo.getRecord?collection=app.bsky.actor.profile&rkey=self&repo="

func (f *field) writeProfile(ctx context.Context, w writer) error {
	body, err := json.Marshal(map[string]any{"repo": w.did, "collection": "app.bsky.actor.profile", "rkey": "self", "record": map[string]any{"$type": "app.bsky.actor.profile", "displayName": "Somebody"}})
	if err != nil {
		return err
	}
	return f.ask(ctx, http.MethodPost, w.host, "/xrpc/com.atproto.repo.putRecord", w.token, body)
}

func (f *field) read(ctx context.Context, w writer) error { return f.get(ctx, w.host, profile+w.did) }

// rate is what clients got done.
type rate struct {
	perSecond      float64
	p50, p99       time.Duration
	server, theirs time.Duration // CPU for each
}

func (r rate) String() string {
	return fmt.Sprintf("%6.0f/s, p50 %5.1f ms, p99 %6.1f ms, CPU %.2f + %.2f ms", r.perSecond, ms(r.p50), ms(r.p99), ms(r.server), ms(r.theirs))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// run has n clients do work for a while.
func (f *field) run(ctx context.Context, n int, span time.Duration, work func(ctx context.Context) error) (r rate, err error) {
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	own, theirs, began := processCPU(f.cmd.Process.Pid), treeCPU(f.server.Pid()), time.Now()
	for range n {
		wg.Go(func() {
			var mine []time.Duration
			for time.Since(began) < span && ctx.Err() == nil {
				before := time.Now()
				if e := work(ctx); e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
					return
				}
				mine = append(mine, time.Since(before))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if err != nil || len(took) == 0 {
		return r, err
	}
	slices.Sort(took)
	each := time.Duration(len(took))
	return rate{
		perSecond: float64(len(took)) / time.Since(began).Seconds(), p50: took[len(took)/2], p99: took[len(took)*99/100],
		server: (processCPU(f.cmd.Process.Pid) - own) / each, theirs: (treeCPU(f.server.Pid()) - theirs) / each,
	}, nil
}

// each touches every writer's tenant once.
func (f *field) each(ctx context.Context, all []writer, work func(context.Context, writer) error) (took time.Duration, err error) {
	var mu sync.Mutex
	next, began := 0, time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(all) {
					return
				}
				if e := work(ctx, all[i]); e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began), err
}

// active measures writes and reads at tenants that are drawn at random, each time beside ten of them.
func (f *field) active(ctx context.Context) error {
	all, err := f.writers(ctx, min(f.count, f.plan.active))
	if err != nil {
		return err
	}
	ten := all[:min(10, len(all))]
	for _, n := range f.plan.at {
		if n > len(all) {
			break
		}
		some := all[:n]
		first, err := f.each(ctx, some, f.writeProfile)
		if err != nil {
			return err
		}
		f.say("first touch of %d tenants: %.0f/s", n, float64(n)/first.Seconds())
		for range 3 { // every connection of a pool meets every tenant of it
			if _, err := f.each(ctx, some, f.writeProfile); err != nil {
				return err
			}
			if _, err := f.each(ctx, some, f.write); err != nil {
				return err
			}
			if _, err := f.each(ctx, some, f.read); err != nil {
				return err
			}
		}
		for _, work := range []struct {
			name string
			do   func(context.Context, writer) error
		}{{"createRecord", f.write}, {"getRecord", f.read}} {
			of := func(set []writer) (rate, error) {
				return f.run(ctx, clients, f.span, func(ctx context.Context) error { return work.do(ctx, set[rand.IntN(len(set))]) })
			}
			base, err := of(ten)
			if err != nil {
				return err
			}
			many, err := of(some)
			if err != nil {
				return err
			}
			f.say("%-12s %5d active: %s\n%-12s    ten active: %s; rate %.2f, p99 %.2f times", work.name, n, many, "", base, many.perSecond/base.perSecond, float64(many.p99)/float64(base.p99))
		}
	}
	return nil
}

// makings touches as many tenants as are to be active, and tells what making further ones does to writers of all of them.
func (f *field) makings(ctx context.Context) error {
	for { // as in quiet hours
		if n, err := f.tenants.KeepSpares(ctx, f.spares, 0); err != nil || n == 0 {
			if err != nil {
				return err
			}
			break
		}
	}
	all, err := f.writers(ctx, min(f.count, f.plan.active))
	if err != nil {
		return err
	}
	for range 4 { // every connection of a pool meets every tenant of it
		if _, err := f.each(ctx, all, f.writeProfile); err != nil {
			return err
		}
	}
	f.say("%d tenants are active, and written to at random", len(all))
	if err := f.creations(ctx, all); err != nil {
		return err
	}
	return f.refill(ctx, all)
}

// refill tells what making spare schemas costs the writers: in a first window, at the beginning of which schemas are named if
// there are too few, and in a second one. Then it is broken off.
func (f *field) refill(ctx context.Context, active []writer) error {
	c, err := pgx.Connect(ctx, f.server.URL)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	made := func() (n int) {
		_ = c.QueryRow(ctx, "SELECT count(*) FROM control.spare WHERE version > 0").Scan(&n)
		return n
	}
	write := func(ctx context.Context) error { return f.write(ctx, active[rand.IntN(len(active))]) }
	before, err := f.run(ctx, clients, f.span, write)
	if err != nil {
		return err
	}
	there := made()
	ended := make(chan error, 1)
	making, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, err := f.tenants.KeepSpares(making, f.spares, f.sparesApart)
		ended <- err
	}()
	for range 2 {
		beside, err := f.run(ctx, clients, f.span, write)
		if err != nil {
			return err
		}
		f.say("%d spare schemas are made in %s: the writers' rate is %.2f of before, p99 %.2f times", made()-there, f.span, beside.perSecond/before.perSecond, float64(beside.p99)/float64(before.p99))
		there = made()
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("make spares beside writers: %w", err)
	}
	return nil
}

// creations tells what a new tenant costs, alone and while others write.
func (f *field) creations(ctx context.Context, active []writer) error {
	var made, served []time.Duration
	for range 5 {
		m, s, err := f.create(ctx)
		if err != nil {
			return err
		}
		made, served = append(made, m), append(served, s)
	}
	f.say("tenant %d: made in %s, served after %s (medians of 5)", f.count, median(made), median(served))
	write := func(ctx context.Context) error { return f.write(ctx, active[rand.IntN(len(active))]) }
	alone, err := f.run(ctx, clients, f.span, write)
	if err != nil {
		return err
	}
	making, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	made, served = nil, nil
	go func() {
		for pace := time.NewTicker(f.pace); making.Err() == nil; <-pace.C {
			m, s, err := f.create(ctx)
			if err != nil {
				ended <- err
				return
			}
			made, served = append(made, m), append(served, s)
		}
		ended <- nil
	}()
	beside, err := f.run(ctx, clients, f.span, write)
	cancel()
	if e := <-ended; e != nil || err != nil {
		return fmt.Errorf("create beside writers: %w %w", e, err)
	}
	f.say("while a tenant is made every %s: made in %s, served after %s (medians of %d); the writers' rate is %.2f of before, p99 %.2f times", f.pace, median(made), median(served), len(made), beside.perSecond/alone.perSecond, float64(beside.p99)/float64(alone.p99))
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/auroralocus/locus/db"
)

// twin is a second server with a Postgres of its own, which takes the load in the neighbour's stead. It tells how much of
// what a load does to a neighbour is the machine's: two servers share nothing but that.
type twin struct {
	*field
	loud []writer // whose the load is there
}

func (f *field) startTwin(ctx context.Context) (t *twin, end func() error, err error) {
	dir := filepath.Join(f.dir, "apart")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	if err := fill(ctx, dir, 1, 10); err != nil {
		return nil, nil, err
	}
	d, err := open(ctx, dir, db.Sizes{})
	if err != nil {
		return nil, nil, err
	}
	other, err := newField(d, f.plan, dir)
	if err == nil {
		other.plan.neighbours.debug = ""
		err = other.start(ctx, f.locus)
	}
	if err != nil {
		return nil, nil, errors.Join(err, d.close())
	}
	end = func() error { other.stop(); return d.close() }
	t = &twin{field: other}
	if t.loud, err = other.accounts(ctx, 1); err == nil {
		err = other.writeProfiles(ctx, t.loud...)
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return t, end, nil
}

// tellApart says what a load does at the same server, compared with what it does at another one on the same machine.
func (f *field) tellApart(what string, with, apart []probe, of kindOfCall) {
	ratio := func(percent int) float64 {
		return float64(of.at(with, percent)) / float64(max(of.at(apart, percent), 1))
	}
	f.say("    %-12s at another server's tenant p50 %6.2f, p99 %6.2f ms: here %.1f and %.1f times that", what,
		ms(of.at(apart, 50)), ms(of.at(apart, 99)), ratio(50), ratio(99))
}

// loadApart has the load at the twin while the client calls here.
func (f *field) loadApart(ctx context.Context, other *twin, name string, quiet writer) (p probe, done string, err error) {
	l, err := other.startLoad(ctx, name, other.loud)
	if err != nil {
		return p, "", fmt.Errorf("at the other server: %w", err)
	}
	wait(ctx, warmUp)
	other.shareOnce()
	p, err = f.window(ctx, quiet)
	t, loadErr := l.end()
	wait(ctx, afterLoad)
	return p, t.text(warmUp + f.plan.neighbours.window), errors.Join(err, loadErr)
}

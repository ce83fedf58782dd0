package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/embedded"
)

// pair is a Postgres and its synchronous standby, which is a replica for reads as well.
type pair struct {
	*embedded.Server // that can be written to
	standby          *embedded.Server
	url              string // of both: it leads to the one that can be written to
}

// startPair starts both. Commits wait for the standby.
func (w *world) startPair(ctx context.Context, name string, opts ...embedded.Option) (p *pair, err error) {
	quiet := slog.New(slog.DiscardHandler)
	p = &pair{}
	start := func(name string, opts ...embedded.Option) (*embedded.Server, error) {
		s, err := embedded.Start(ctx, w.path(name), quiet, append(opts, embedded.WithoutRestart(), embedded.Setting("wal_retrieve_retry_interval", "100ms"),
			embedded.Setting("fsync", "off"))...) // processes die here, not the machine
		if err == nil {
			w.closing = append(w.closing, func() { _ = s.Kill(); _ = s.Stop() }) // a primary that waits for its standby would take its time
		}
		return s, err
	}
	if p.Server, err = start(name, opts...); err != nil {
		return nil, err
	}
	// The log is archived once: by whichever server is written to.
	if p.standby, err = start(name+"-standby", append(opts, embedded.StandbyOf(p.Server, "standby"))...); err != nil {
		return nil, err
	}
	if p.url, err = bothOf(p.Server.URL, p.standby.URL); err != nil {
		return nil, err
	}
	// The standby, a copy from before, will wait for nobody.
	for _, text := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()"} {
		if err := w.sql(ctx, p.Server, text); err != nil {
			return nil, err
		}
	}
	return p, until(ctx, "the standby of "+name+" counts as synchronous", func() (bool, error) {
		n, err := ask(ctx, p.Server, "SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = 'sync'")
		return n == "1", err
	})
}

// bothOf is the URL of two servers on sockets.
func bothOf(first, second string) (string, error) {
	a, err := url.Parse(first)
	if err != nil {
		return "", err
	}
	b, err := url.Parse(second)
	if err != nil {
		return "", err
	}
	host := func(u *url.URL) string { return u.Query().Get("host") }
	a.RawQuery = url.Values{"host": {host(a) + "," + host(b)}, "port": {"5432,5432"}, "target_session_attrs": {"read-write"}, "connect_timeout": {"5"}}.Encode()
	return a.String(), nil
}

// ask gives the one text of a statement.
func ask(ctx context.Context, server *embedded.Server, text string) (out string, err error) {
	c, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	return out, c.QueryRow(ctx, text).Scan(&out)
}

// failOver kills the server that is written to, as a power cut does, and promotes its standby. The servers of the product
// follow by themselves.
func (d *drill) failOver(ctx context.Context, p *pair) error {
	if err := d.some(ctx, 50); err != nil { // it is written to
		return err
	}
	began, before := time.Now(), d.acknowledged.Load()
	if err := p.Server.Kill(); err != nil {
		return err
	}
	if ok, err := ask(ctx, p.standby, "SELECT pg_promote(true, 30)::text"); err != nil || ok != "true" {
		return fmt.Errorf("the standby is not promoted: %q %w", ok, err)
	}
	promoted := time.Since(began)
	p.Server, p.standby = p.standby, nil
	// What was on its way when the primary ended may be acknowledged before the standby is promoted; not a hundred of it.
	err := until(ctx, "everybody can write again", func() (bool, error) {
		return d.acknowledged.Load() >= before+int64(2*d.accounts), nil
	})
	if err != nil {
		return err
	}
	d.outages = append(d.outages, fmt.Sprintf("%.1f s (the standby was promoted after %.1f)", time.Since(began).Seconds(), promoted.Seconds()))
	return errors.Join(d.serves(ctx), d.some(ctx, 50))
}

// outagesText says how long nobody could write.
func (d *drill) outagesText() string {
	return "writes went on after a failover in: " + strings.Join(d.outages, ", ")
}

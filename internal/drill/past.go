package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/embedded"
)

// archiving has the first database keep its log, as docs/backup.md says.
func (w *world) archiving() ([]embedded.Option, error) {
	wal := w.path("wal")
	if err := os.Mkdir(wal, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(wal, 0o777); err != nil { // Postgres runs as somebody else where this is root
		return nil, err
	}
	return []embedded.Option{
		embedded.Setting("archive_mode", "on"),
		embedded.Setting("archive_command", "cp %p "+wal+"/%f"),
	}, nil
}

// base makes a base backup of the whole first database.
func (d *drill) base(ctx context.Context) error {
	s, err := embedded.Start(ctx, d.path("base"), slog.New(slog.DiscardHandler), embedded.StandbyOf(d.first.Server, "base"), embedded.WithoutRestart())
	if err != nil {
		return err
	}
	return s.Stop()
}

// past brings the tenant back to a moment before it was damaged, out of the base backup and the log of the whole database.
func (d *drill) past(ctx context.Context) (err error) {
	d.gate.Lock()
	kept := d.ledger()
	moment, err := d.moment(ctx)
	d.gate.Unlock()
	if err != nil {
		return err
	}
	if err := d.some(ctx, 50); err != nil { // these are lost
		return err
	}
	d.gate.Lock()
	defer func() {
		d.gate.Unlock()
		if err == nil {
			err = errors.Join(d.serves(ctx), d.some(ctx, 50))
		}
	}()
	if err := d.damage(ctx); err != nil {
		return err
	}
	then, err := d.recover(ctx, moment)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, then.Stop()) }()
	file := d.path("then.locus")
	_, err = d.command(ctx, "tenant", "backup", d.hostname, "--database-url", then.URL, "--blobs", "reference", "--output", file, "--passphrase-file", d.path("passphrase"))
	if err != nil {
		return err
	}
	if _, err = d.command(ctx, "tenant", "restore", file, "--replace", "--passphrase-file", d.path("passphrase")); err != nil {
		return err
	}
	d.back(kept)
	return nil
}

// ledger is what was acknowledged to each person so far.
func (d *drill) ledger() (out []map[string]string) {
	for _, p := range d.people {
		p.mu.Lock()
		out = append(out, maps.Clone(p.written))
		p.mu.Unlock()
	}
	return out
}

// back says that only what is in the ledger must be there; what came later may be.
func (d *drill) back(ledger []map[string]string) {
	for i, p := range d.people {
		p.mu.Lock()
		for rkey := range p.written {
			p.doubt[rkey] = true
		}
		p.written = maps.Clone(ledger[i])
		p.mu.Unlock()
	}
}

func (d *drill) damage(ctx context.Context) error {
	text, err := d.command(ctx, "tenant", "show", d.hostname, "--json")
	if err != nil {
		return err
	}
	return d.sql(ctx, d.first.Server, fmt.Sprintf("DELETE FROM %[1]s.record WHERE aid = 1; DELETE FROM %[1]s.mst_node WHERE aid = 2; UPDATE %[1]s.repo_event SET payload = '\\x00' WHERE aid = 3", schemaOf(text)))
}

// moment is now, by the database's clock, with nothing written shortly before and after.
func (d *drill) moment(ctx context.Context) (at time.Time, err error) {
	c, err := pgx.Connect(ctx, d.first.URL)
	if err != nil {
		return at, err
	}
	defer c.Close(ctx)
	err = c.QueryRow(ctx, "SELECT clock_timestamp() FROM pg_sleep(0.05)").Scan(&at)
	if err == nil {
		_, err = c.Exec(ctx, "SELECT pg_sleep(0.05)")
	}
	return at, err
}

// recover starts a database as the first one was at that moment.
func (d *drill) recover(ctx context.Context, moment time.Time) (*embedded.Server, error) {
	c, err := pgx.Connect(ctx, d.first.URL)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	var last string
	if err := c.QueryRow(ctx, "SELECT pg_walfile_name(pg_switch_wal())").Scan(&last); err != nil {
		return nil, err
	}
	err = until(ctx, "the log is archived", func() (bool, error) {
		_, err := os.Stat(filepath.Join(d.path("wal"), last))
		return err == nil, nil
	})
	if err != nil {
		return nil, err
	}
	data := filepath.Join(d.path("base"), "pgdata")
	if err := os.Rename(filepath.Join(data, "standby.signal"), filepath.Join(data, "recovery.signal")); err != nil {
		return nil, err
	}
	s, err := embedded.Start(ctx, d.path("base"), slog.New(slog.DiscardHandler), embedded.WithoutRestart(),
		embedded.Setting("primary_conninfo", ""), embedded.Setting("synchronous_standby_names", ""), embedded.Setting("archive_mode", "off"),
		embedded.Setting("restore_command", "cp "+d.path("wal")+"/%f %p"),
		embedded.Setting("recovery_target_time", moment.UTC().Format("2006-01-02 15:04:05.000000+00")),
		embedded.Setting("recovery_target_action", "promote"))
	if err != nil {
		return nil, err
	}
	return s, until(ctx, "the past is recovered", func() (bool, error) {
		c, err := pgx.Connect(ctx, s.URL)
		if err != nil {
			return false, nil
		}
		defer c.Close(ctx)
		var recovering bool
		err = c.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&recovering)
		return !recovering, err
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// archiveFlags are what commands about archives need.
type archiveFlags struct {
	tenantFlags
}

// archives opens the database and what archives are made of.
func (f archiveFlags) archives(ctx context.Context, log *slog.Logger) (*archiver, error) {
	d, stop, err := f.open(ctx, log, db.Config{Log: log}) // a deployment may begin with a restore
	if err != nil {
		return nil, err
	}
	tenants, d, stop, err := f.registryOf(ctx, log, d, stop)
	if err != nil {
		return nil, err
	}
	keys, err := f.keys(ctx, d, log)
	if err != nil {
		stop()
		return nil, err
	}
	blobs := blob.New(d, keys, time.Now, log, f.blobs())
	store := &archive.Store{DB: d, Blobs: blobs, Keys: keys, Now: time.Now, Log: log, Program: version()}
	hub, told := tellOthers(d, log)
	return &archiver{
		db: d, keys: keys, tenants: tenants, blobs: blobs, jobs: job.New(d, time.Now, log), log: log,
		acts: act.NewArchives(d, tenants, hub, store, time.Now, log), stop: func() { told(); blobs.Close(); stop() },
	}, nil
}

type archiver struct {
	db      *db.DB
	keys    *keyring.Keyring
	tenants *tenant.Registry
	blobs   *blob.Blobs
	jobs    *job.Runner
	acts    *act.Archives
	log     *slog.Logger
	stop    func()
}

// do runs work as a job, which others see in 'locus job list' and may cancel.
func (a *archiver) do(ctx context.Context, kind string, tenantID int64, alone bool, args any, work func(context.Context, archive.Progress) (any, error)) error {
	a.jobs.Register(job.Kind{Name: kind, Local: true, Alone: alone, Work: func(ctx context.Context, r *job.Run) error {
		result, err := work(ctx, r.Progress)
		if err == nil {
			err = r.Result(result)
		}
		return err
	}})
	p := newProgress()
	defer p.end()
	_, err := a.jobs.Do(ctx, job.Spec{Kind: kind, TenantID: tenantID, Args: args, By: commandUser().Name}, p.job)
	return err
}

type tenantBackupCmd struct {
	storeFlags
	waitFlags
	manyFlags
	Output         string   `short:"o" placeholder:"FILE" help:"Where the archive goes; '-': standard output. Default: a file in the current folder, named after tenant and time."`
	Recipient      []string `placeholder:"age1…" help:"Encrypt for the holder of this age key; may be repeated. 'age-keygen' makes one."`
	PassphraseFile string   `type:"path" placeholder:"FILE" help:"Encrypt with the passphrase in the first line of this file."`
	Blobs          string   `enum:"include,reference,none" default:"include" help:"Files: in the archive (include), only where they lie (reference: the restore must reach the same store), or not at all (none: accounts upload them again)."`
	Store          bool     `help:"Put it into the deployment's store of backups (--backup-store), where 'locus backup list' and the operator API see it, instead of into a file. A server may do it (--background)."`
	Unencrypted    bool     `help:"With --store: it is meant that no key is named."`
	Keep           days     `help:"With --store: how long it is kept; 0s: as --backup-keep says." default:"0s"`
}

// backupJSON is the form that scripts read.
type backupJSON struct {
	Hostname  string    `json:"hostname"`
	File      string    `json:"file"`
	MadeAt    time.Time `json:"madeAt"`
	Encrypted bool      `json:"encrypted"`
	LastSeq   int64     `json:"lastSeq"`
	Tables    int       `json:"tables"`
	Rows      int64     `json:"rows"`
	Files     int64     `json:"files"`
	Missing   int64     `json:"missingFiles"`
	Bytes     int64     `json:"bytes"`
}

func (c *tenantBackupCmd) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.oneOrAll(); err != nil {
		return err
	}
	if c.All && !c.Store {
		return errors.New("--all is for --store: in a store each backup has a name of its own")
	}
	if c.Store {
		return c.toStore(ctx, log)
	}
	if c.Background {
		return errors.New("a file is written by this process: --background is for --store")
	}
	lock, err := c.lock()
	if err != nil {
		return err
	}
	a, err := c.archives(ctx, log)
	if err != nil {
		return err
	}
	defer a.stop()
	t, err := a.ready(ctx, c.Hostname)
	if err != nil {
		return err
	}
	out, err := c.output(t, lock)
	if err != nil {
		return err
	}
	defer out.drop()
	sum := backupJSON{Hostname: t.Hostname, File: out.name, Encrypted: lock.Encrypts()}
	err = a.do(ctx, "tenant backup", t.ID, false, map[string]any{"file": out.name, "blobs": c.Blobs}, func(ctx context.Context, p archive.Progress) (any, error) {
		h, m, err := a.acts.Backup(ctx, t, byCommand(), out, archive.Options{Blobs: archive.BlobMode(c.Blobs), Lock: lock, Progress: p})
		if err == nil {
			err = out.keep()
		}
		sum.MadeAt, sum.LastSeq, sum.Tables, sum.Rows, sum.Files, sum.Missing, sum.Bytes = h.MadeAt, h.LastSeq, m.Tables, m.Rows, m.Blobs, m.Missing, m.Bytes
		return sum, err
	})
	if err != nil {
		return err
	}
	return c.print(sum, out.name == "-")
}

func (c *tenantBackupCmd) print(sum backupJSON, toStderr bool) error {
	to := os.Stdout
	if toStderr {
		to = os.Stderr
	}
	if c.JSON {
		return printJSON(to, sum)
	}
	fmt.Fprintf(to, "%s: %d rows of %d tables and %d files, %d bytes, up to event %d\n", sum.File, sum.Rows, sum.Tables, sum.Files, sum.Bytes, sum.LastSeq)
	if sum.Missing > 0 {
		fmt.Fprintf(to, "%d files were not in their store: 'locus blob verify %s' names them\n", sum.Missing, sum.Hostname)
	}
	if !sum.Encrypted {
		fmt.Fprintln(to, "It is not encrypted: anybody who has it reads what people wrote and their addresses, and it can be restored only under the same master key.")
	}
	return nil
}

func (c *tenantBackupCmd) lock() (archive.Lock, error) {
	lock := archive.Lock{Recipients: c.Recipient}
	var err error
	if c.PassphraseFile != "" {
		lock.Passphrase, err = firstLine(c.PassphraseFile)
	}
	if err == nil {
		err = lock.Check()
	}
	return lock, err
}

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := secretArgument("-", f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// output is a file that is there under its name only when it is whole.
type output struct {
	*os.File
	name string
	part string // "": standard output
}

func (c *tenantBackupCmd) output(t *tenant.Tenant, lock archive.Lock) (*output, error) {
	if c.Output == "-" {
		return &output{File: os.Stdout, name: "-"}, nil
	}
	name := c.Output
	if name == "" {
		name = t.Hostname + "-" + time.Now().UTC().Format("20060102T150405Z") + ".locus"
		if lock.Encrypts() {
			name += ".age"
		}
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = errors.New("it is there already; choose another name")
		}
		return nil, fmt.Errorf("archive %s: %w", name, err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".part-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", name, err)
	}
	return &output{File: f, name: name, part: f.Name()}, nil
}

func (o *output) keep() error {
	if o.part == "" {
		return nil
	}
	err := errors.Join(o.Sync(), o.Close())
	if err == nil {
		err = os.Link(o.part, o.name) // unlike a rename it never takes another file's place
	}
	if err != nil {
		return fmt.Errorf("archive %s: %w", o.name, err)
	}
	if d, err := os.Open(filepath.Dir(o.name)); err == nil {
		_ = d.Sync() // some file systems cannot; the file itself is on disk
		_ = d.Close()
	}
	return nil
}

// drop removes what was written so far, or the second name of what was kept.
func (o *output) drop() {
	if o.part == "" {
		return
	}
	_ = o.Close() // a second time after keep, which is no harm
	_ = os.Remove(o.part)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// backupStoreFlags say where the deployment keeps archives that are asked for by name.
type backupStoreFlags struct {
	BackupStore     string   `placeholder:"STORE" help:"Where backups go that are made by name: disk:/folder, data: (the folder backups in the data folder), or s3://bucket/prefix?endpoint=URL&region=NAME. Off by default. The keys of S3 are LOCUS_BACKUP_S3_ACCESS_KEY and LOCUS_BACKUP_S3_SECRET_KEY, or else those of files." env:"LOCUS_BACKUP_STORE"`
	BackupRecipient []string `placeholder:"age1…" help:"Public key of age that all backups in the store are encrypted for; may be repeated." env:"LOCUS_BACKUP_RECIPIENTS"`
	BackupIdentity  string   `name:"backup-identity-file" type:"path" placeholder:"FILE" help:"File with a secret key of age, by which this process opens backups in the store. Without it the key comes with each wish to restore." env:"LOCUS_BACKUP_IDENTITY_FILE"`
	BackupKeep      days     `help:"How long backups in the store are kept: 30d; 0s: until somebody deletes them. A tenant's newest always stays; default: ${default}." default:"0s" env:"LOCUS_BACKUP_KEEP"`
}

// openVault opens the store; nil: there is none.
func (f backupStoreFlags) openVault(data dataFlags) (*vault.Vault, act.BackupRules, error) {
	rules := act.BackupRules{Recipients: f.BackupRecipient, Keep: time.Duration(f.BackupKeep)}
	if f.BackupIdentity != "" {
		text, err := os.ReadFile(f.BackupIdentity)
		if err != nil {
			return nil, rules, fmt.Errorf("--backup-identity-file or LOCUS_BACKUP_IDENTITY_FILE: %w", err)
		}
		rules.Identities = string(text)
	}
	if err := rules.Check(); err != nil {
		return nil, rules, fmt.Errorf("--backup-recipient or --backup-identity-file: %w", err)
	}
	if f.BackupStore == "" {
		return nil, rules, nil
	}
	files, err := store.OpenFiles(f.BackupStore, "backups", store.Config{DataDir: data.DataDir, S3: store.Credentials{
		AccessKey: cmp.Or(os.Getenv("LOCUS_BACKUP_S3_ACCESS_KEY"), os.Getenv("LOCUS_S3_ACCESS_KEY")),
		SecretKey: cmp.Or(os.Getenv("LOCUS_BACKUP_S3_SECRET_KEY"), os.Getenv("LOCUS_S3_SECRET_KEY")),
	}})
	if err != nil {
		return nil, rules, fmt.Errorf("--backup-store or LOCUS_BACKUP_STORE: %w", err)
	}
	return vault.New(files, time.Now), rules, nil
}

// keepBackups gives a server the jobs of backups.
func (a *app) keepBackups(f backupStoreFlags, data dataFlags) error {
	v, rules, err := f.openVault(data)
	if err != nil {
		return err
	}
	kept := &archive.Store{DB: a.db, Blobs: a.blobs, Keys: a.keys, Now: time.Now, Log: a.log, Program: version()}
	a.backups = act.NewBackups(act.NewArchives(a.db, a.tenants, a.hub, kept, time.Now, a.log), v, rules, a.repos, a.jobs)
	for _, k := range a.backups.Kinds() {
		a.jobs.Register(k)
	}
	return nil
}

// inStore begins the name of an archive in the store, where one may be a file as well.
const inStore = "store:"

// storeFlags are what commands about the store need.
type storeFlags struct {
	archiveFlags
	backupStoreFlags
}

// keeper is what they work with.
type keeper struct {
	*archiver
	backups *act.Backups
}

func (f storeFlags) keeper(ctx context.Context, log *slog.Logger) (*keeper, error) {
	v, rules, err := f.openVault(f.dataFlags)
	if err != nil {
		return nil, err
	}
	a, err := f.archives(ctx, log)
	if err != nil {
		return nil, err
	}
	repos := repodb.New(a.db, a.keys, time.Now, log, repodb.Config{})
	stop := a.stop
	a.stop = func() { repos.Close(); stop() }
	k := &keeper{a, act.NewBackups(a.acts, v, rules, repos, a.jobs)}
	for _, kind := range k.backups.Kinds() {
		a.jobs.Register(kind)
	}
	return k, nil
}

// ready is a tenant that work can be done on.
func (a *archiver) ready(ctx context.Context, hostname string) (*tenant.Tenant, error) {
	t, err := a.tenants.Get(ctx, hostname)
	if err == nil {
		t, err = a.tenants.Ready(ctx, t)
	}
	return t, explainTenant(err)
}

type backupListCmd struct {
	storeFlags
	Tenant string `placeholder:"HOSTNAME" help:"Only those of one tenant that is there."`
}

func (c *backupListCmd) Run(ctx context.Context, log *slog.Logger) error {
	k, err := c.keeper(ctx, log)
	if err != nil {
		return err
	}
	defer k.stop()
	var t *tenant.Tenant
	if c.Tenant != "" {
		if t, err = k.tenants.Get(ctx, c.Tenant); err != nil {
			return explainTenant(err)
		}
	}
	p := newProgress()
	list := []vault.Entry{}
	for behind, more := "", true; more; {
		var page []vault.Entry
		if page, more, err = k.backups.List(ctx, t, behind, act.MaxBackupPage); err != nil {
			return err
		}
		list = append(list, page...)
		if len(page) == 0 {
			break
		}
		behind = page[len(page)-1].Name
		p.show("reading the store", int64(len(list)), 0)
	}
	p.end()
	if c.JSON {
		return printJSON(os.Stdout, list)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "BACKUP\tHOSTNAME\tMADE\tAGE\tSIZE\tENCRYPTED\tBY\tKEPT UNTIL")
	for _, e := range list {
		encrypted := "no"
		if e.Encrypted {
			encrypted = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, e.Hostname, when(e.MadeAt), age(time.Since(e.MadeAt)), size(e.Bytes), encrypted, e.By, when(e.KeepUntil))
	}
	return w.Flush()
}

// age is how old something is, for people.
func age(d time.Duration) string {
	switch {
	case d < time.Hour:
		return d.Round(time.Minute).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

type backupShowCmd struct {
	storeFlags
	Backup string `arg:"" help:"Name of the backup, as 'locus backup list' shows it."`
}

func (c *backupShowCmd) Run(ctx context.Context, log *slog.Logger) error {
	k, err := c.keeper(ctx, log)
	if err != nil {
		return err
	}
	defer k.stop()
	e, err := k.backups.Get(ctx, nil, strings.TrimPrefix(c.Backup, inStore))
	if err != nil {
		return explainArchive(err)
	}
	if c.JSON {
		return printJSON(os.Stdout, e)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "backup\t%s\nhostname\t%s\ntenant\t%d, schema %s\nmade\t%s by %s\nprogram\t%s\nsize\t%s\nrows\t%d\nfiles\t%d (%s), %d missing\nlast event\t%d\nencrypted for\t%s\nkept until\t%s\n",
		e.Name, e.Hostname, e.TenantID, e.Schema, when(e.MadeAt), e.By, e.Program, size(e.Bytes), e.Rows, e.Files, e.Blobs, e.Missing, e.LastSeq,
		cmp.Or(strings.Join(e.Recipients, ", "), "nobody: whoever has it reads it"), when(e.KeepUntil))
	return w.Flush()
}

type backupDeleteCmd struct {
	storeFlags
	Backup string `arg:"" help:"Name of the backup, as 'locus backup list' shows it."`
}

func (c *backupDeleteCmd) Run(ctx context.Context, log *slog.Logger) error {
	k, err := c.keeper(ctx, log)
	if err != nil {
		return err
	}
	defer k.stop()
	name := strings.TrimPrefix(c.Backup, inStore)
	if err := k.backups.Delete(ctx, byCommand(), nil, name); err != nil {
		return explainArchive(err)
	}
	if c.JSON {
		return printJSON(os.Stdout, map[string]string{"deleted": name})
	}
	fmt.Printf("backup %s is deleted\n", name)
	return nil
}

// toStore keeps a tenant in the store.
func (c *tenantBackupCmd) toStore(ctx context.Context, log *slog.Logger) error {
	if c.PassphraseFile != "" || c.Output != "" {
		return errors.New("a backup in the store is encrypted for keys of age and has a name of its own: leave out --passphrase-file and --output")
	}
	k, err := c.keeper(ctx, log)
	if err != nil {
		return err
	}
	defer k.stop()
	if c.All {
		return c.walk(ctx, k.tenants, c.JSON, "backing up", func(ctx context.Context, t *tenant.Tenant, p *progress) error {
			return c.oneToStore(ctx, k, t, p)
		})
	}
	t, err := k.ready(ctx, c.Hostname)
	if err != nil {
		return err
	}
	p := newProgress()
	defer p.end()
	return c.oneToStore(ctx, k, t, p)
}

// oneToStore backs up one tenant, or has a server do it, and prints a line.
func (c *tenantBackupCmd) oneToStore(ctx context.Context, k *keeper, t *tenant.Tenant, p *progress) error {
	spec, err := k.backups.Start(ctx, byCommand(), t, act.NewBackup{
		Blobs: archive.BlobMode(c.Blobs), Recipients: c.Recipient, Unencrypted: c.Unencrypted, Keep: time.Duration(c.Keep),
	})
	var j job.Job
	switch {
	case err != nil:
	case c.Background:
		j, err = k.jobs.Start(ctx, spec)
	default:
		j, err = k.jobs.Do(ctx, spec, p.job)
		p.end()
	}
	if err != nil {
		return explainArchive(err)
	}
	if c.All && c.JSON { // a line for each tenant
		return printJSONLine(jobJSONOf(ctx, j, k.tenants))
	}
	if c.Background || c.JSON {
		return printJob(os.Stdout, jobJSONOf(ctx, j, k.tenants), c.JSON)
	}
	var e vault.Entry
	if err := j.Into(&e); err != nil {
		return err
	}
	_, err = fmt.Printf("%s: %d rows and %d files, %s, up to event %d\n", e.Name, e.Rows, e.Files, size(e.Bytes), e.LastSeq)
	return err
}

// identity is the secret key that opens an archive; "": the deployment's.
func (f inputFlags) identity() (string, error) {
	if f.PassphraseFile != "" {
		return "", errors.New("backups in the store have no passphrase: --identity opens them")
	}
	if f.Identity == "" {
		return "", nil
	}
	text, err := os.ReadFile(f.Identity)
	return string(text), err
}

// fromStore restores an archive of the store.
func (c *tenantRestoreCmd) fromStore(ctx context.Context, log *slog.Logger, name string) error {
	identity, err := c.identity()
	if err != nil {
		return err
	}
	k, err := c.keeper(ctx, log)
	if err != nil {
		return err
	}
	defer k.stop()
	spec, err := k.backups.StartRestore(ctx, byCommand(), act.RestoreWish{
		Backup: name, Hostname: c.Hostname, Replace: c.Replace, Node: c.Node, Settings: c.Set, Identity: identity,
	})
	if err != nil {
		return explainArchive(err)
	}
	return explainArchive(c.run(ctx, k.jobs, k.tenants, spec, c.JSON, func(_ io.Writer, j job.Job) error {
		var sum act.RestoreResult
		if err := j.Into(&sum); err != nil {
			return err
		}
		return c.print(sum)
	}))
}

// fromStore tries an archive of the store.
func (c *backupDrillCmd) fromStore(ctx context.Context, log *slog.Logger, name string) error {
	identity, err := c.identity()
	if err != nil {
		return err
	}
	k, err := c.keeper(ctx, log)
	if err != nil {
		return err
	}
	defer k.stop()
	spec, err := k.backups.StartDrill(ctx, byCommand(), name, identity)
	if err != nil {
		return explainArchive(err)
	}
	began := time.Now()
	return explainArchive(c.judged(ctx, k.jobs, k.tenants, spec, c.JSON, func(_ io.Writer, j job.Job) error {
		var sum act.DrillResult
		if err := j.Into(&sum); err != nil {
			return err
		}
		return c.print(drillJSON{sum, time.Since(began).Round(time.Millisecond).Seconds()})
	}, notProved))
}

// notProved is the error of a drill that found something missing.
func notProved(j job.Job) error {
	var sum act.DrillResult
	err := j.Into(&sum)
	if err == nil && !sum.OK {
		err = errDrill
	}
	return err
}

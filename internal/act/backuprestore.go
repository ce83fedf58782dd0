package act

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// identityBinding ties a key that opens an archive to the jobs that wait to use it.
var identityBinding = keyring.Binding{Schema: "control", Owner: "backup", Purpose: "backup_identity"}

// opens says how an archive is opened: by the key that came with the wish, or else by the deployment's.
func (b *Backups) opens(args backupArgs) (func(context.Context) (io.ReadCloser, error), error) {
	keys := archive.Keys{Identities: b.rules.Identities}
	if len(args.Identity) > 0 {
		text, err := b.archives.store.Keys.Open(identityBinding, args.Identity)
		if err != nil {
			return nil, fmt.Errorf("open the key of the backup: %w", err)
		}
		keys.Identities = string(text)
	}
	return func(ctx context.Context) (io.ReadCloser, error) {
		file, err := b.vault.Open(ctx, args.Backup)
		if err != nil {
			return nil, err
		}
		in, err := keys.Unwrap(file)
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("%s: %w", args.Backup, err)
		}
		return struct {
			io.Reader
			io.Closer
		}{in, file}, nil
	}, nil
}

// seal keeps a key for a job. Errors: [ErrAgeKey].
func (b *Backups) seal(identity string) ([]byte, error) {
	if identity == "" {
		return nil, nil
	}
	if err := (archive.Keys{Identities: identity}).Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAgeKey, err)
	}
	return b.archives.store.Keys.Seal(identityBinding, []byte(identity))
}

// RestoreWish says what is to be made of an archive in the store.
type RestoreWish struct {
	Backup   string
	Hostname string // "": that of the archive
	Replace  bool
	Node     string
	Settings map[string]string
	Identity string // AGE-SECRET-KEY-1…; "": the deployment's
}

// StartRestore says how a tenant is made of an archive, or an archive put in the place of one. Errors: [vault.ErrNotFound],
// [ErrLiving], [tenant.ErrNodeNotFound], [tenant.ErrBadHostname], [ErrAgeKey].
func (b *Backups) StartRestore(ctx context.Context, by Operator, w RestoreWish) (spec job.Spec, err error) {
	e, err := b.vault.Get(ctx, w.Backup)
	if err != nil {
		return spec, err
	}
	args := backupArgs{Backup: w.Backup, Hostname: strings.ToLower(w.Hostname), Replace: w.Replace, Settings: w.Settings}
	args.of(by)
	if args.Identity, err = b.seal(w.Identity); err != nil {
		return spec, err
	}
	if w.Node != "" {
		n, err := b.tenants.Node(ctx, w.Node)
		if err != nil {
			return spec, err
		}
		args.Node = n.ID
	}
	if args.Hostname == "" {
		args.Hostname = e.Hostname
	} else if err := b.tenants.CheckHostname(args.Hostname); err != nil {
		return spec, err
	}
	spec = job.Spec{Kind: JobRestore, Args: &args, By: by.Name}
	living, err := b.tenants.Get(ctx, args.Hostname)
	switch {
	case errors.Is(err, tenant.ErrNotFound):
		return spec, nil
	case err != nil:
		return spec, err
	case living.State == tenant.Provisioning:
		return spec, nil
	case !w.Replace:
		return spec, fmt.Errorf("%w: %s", ErrLiving, living.Hostname)
	}
	spec.TenantID = living.ID
	if w.Hostname == "" {
		args.Hostname = "" // the archive's own tenant, and no other
	}
	return spec, nil
}

func (b *Backups) restore(ctx context.Context, r *job.Run) error {
	var args backupArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	open, err := b.opens(args)
	if err != nil {
		return err
	}
	if r.Job.Attempts > 1 {
		done, err := b.restoredBefore(ctx, r, args)
		if err != nil || done {
			return err
		}
	}
	out, err := b.archives.Restore(ctx, args.operator(), Restore{
		Open: func() (io.ReadCloser, error) { return open(ctx) }, Hostname: args.Hostname, Replace: args.Replace, Node: args.Node,
		Settings: args.Settings, Progress: r.Progress, Job: r.Job.ID,
	})
	if err != nil {
		return err
	}
	return r.Result(RestoreResult{
		Hostname: out.Tenant.Hostname, MadeAt: out.Header.MadeAt, Replaced: out.Replaced, Rows: out.Loaded.Rows, Files: out.Loaded.Blobs,
		Missing: out.Loaded.BlobsMissing, NextSeq: out.NextSeq, Told: out.Told,
	})
}

// RestoreResult is what came of a restore.
type RestoreResult struct {
	Hostname string    `json:"hostname"`
	MadeAt   time.Time `json:"madeAt"`
	Replaced bool      `json:"replaced"`
	Rows     int64     `json:"rows"`
	Files    int64     `json:"files"`
	Missing  int64     `json:"missingFiles"`
	NextSeq  int64     `json:"nextSeq"`
	Told     int64     `json:"accountsTold"`
}

// restoredBefore finds out whether an attempt before this one has put the archive in its place, by the line that it wrote
// into the log there: doing it again would take back what was written since. What that attempt left undone is done.
func (b *Backups) restoredBefore(ctx context.Context, r *job.Run, args backupArgs) (done bool, err error) {
	hostname := args.Hostname
	if hostname == "" {
		e, err := b.vault.Get(ctx, args.Backup)
		if err != nil {
			return false, err
		}
		hostname = e.Hostname
	}
	t, err := b.tenants.Get(ctx, hostname)
	if errors.Is(err, tenant.ErrNotFound) || err == nil && t.State == tenant.Provisioning {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	detail, err := b.restoreBy(ctx, t, r.Job.ID)
	if err != nil || detail == nil {
		return false, err
	}
	out := Restored{Replaced: detail.Replaced}
	if detail.Replaced {
		if out, err = b.archives.Complete(ctx, t, r.Progress); err != nil {
			return false, err
		}
	}
	return true, r.Result(RestoreResult{
		Hostname: t.Hostname, MadeAt: detail.MadeAt, Replaced: detail.Replaced, Rows: detail.Rows, Files: detail.Files, Missing: detail.Missing,
		NextSeq: detail.NextSeq, Told: out.Told,
	})
}

// restoreBy is what the tenant's log says of a restore by a job, or nil.
func (b *Backups) restoreBy(ctx context.Context, t *tenant.Tenant, id string) (*restoredLine, error) {
	page, _, err := audit.Newest(ctx, b.db.Tenant(t.Schema).Q(), audit.Filter{Action: actTenantRestore}, 20, func(int16) string { return "" })
	if err != nil {
		return nil, err
	}
	for _, e := range page {
		var d restoredLine
		if json.Unmarshal(e.Detail, &d) == nil && d.Job == id {
			return &d, nil
		}
	}
	return nil, nil
}

// CloneResult is what came of a clone.
type CloneResult struct {
	Hostname string `json:"hostname"`
	Of       string `json:"of"`
	Rows     int64  `json:"rows"`
	Files    int64  `json:"files"`
}

// StartClone says how a tenant is copied for trying things out. Errors: [ErrLiving], [tenant.ErrNodeNotFound],
// [tenant.ErrBadHostname].
func (b *Backups) StartClone(ctx context.Context, by Operator, t *tenant.Tenant, hostname, node string) (spec job.Spec, err error) {
	args := backupArgs{Hostname: strings.ToLower(hostname)}
	args.of(by)
	if err := b.tenants.CheckHostname(args.Hostname); err != nil {
		return spec, err
	}
	if node != "" {
		n, err := b.tenants.Node(ctx, node)
		if err != nil {
			return spec, err
		}
		args.Node = n.ID
	}
	living, err := b.tenants.Get(ctx, args.Hostname)
	switch {
	case err == nil && living.State != tenant.Provisioning:
		return spec, fmt.Errorf("%w: %s", ErrLiving, living.Hostname)
	case err != nil && !errors.Is(err, tenant.ErrNotFound):
		return spec, err
	}
	return job.Spec{Kind: JobClone, TenantID: t.ID, Args: args, By: by.Name}, nil
}

func (b *Backups) clone(ctx context.Context, r *job.Run) error {
	var args backupArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	t, err := b.ready(ctx, r.Job.TenantID)
	if err != nil {
		return err
	}
	if r.Job.Attempts > 1 {
		made, err := b.tenants.Get(ctx, args.Hostname)
		if err == nil && made.State == tenant.Active {
			d, err := b.restoreBy(ctx, made, r.Job.ID)
			if err != nil {
				return err
			}
			if d != nil {
				return r.Result(CloneResult{made.Hostname, t.Hostname, d.Rows, d.Files})
			}
		}
	}
	out, err := b.archives.Clone(ctx, args.operator(), t, args.Hostname, args.Node, r.Job.ID, r.Progress)
	if err != nil {
		return err
	}
	return r.Result(CloneResult{out.Tenant.Hostname, t.Hostname, out.Loaded.Rows, out.Loaded.Blobs})
}

// DrillResult is what a drill found.
type DrillResult struct {
	Hostname string    `json:"hostname"`
	MadeAt   time.Time `json:"madeAt"`
	OK       bool      `json:"ok"`
	Rows     int64     `json:"rows"`
	Repos    int64     `json:"repositories"`
	Files    int64     `json:"files"`
	Missing  int64     `json:"missingFiles"`
	Found    int64     `json:"problemsFound"`
	Problems []string  `json:"problems,omitempty"` // the first of them
}

// ResultOf sums a drill up.
func (d Drilled) ResultOf() DrillResult {
	return DrillResult{
		Hostname: d.Header.Tenant.Hostname, MadeAt: d.Header.MadeAt, OK: d.OK(), Rows: d.Loaded.Rows, Repos: d.Repos, Files: d.Loaded.Blobs,
		Missing: d.Loaded.BlobsMissing, Found: d.Found, Problems: d.Problems,
	}
}

// StartDrill says how it is tried whether an archive in the store could be restored. Errors: [vault.ErrNotFound],
// [ErrAgeKey].
func (b *Backups) StartDrill(ctx context.Context, by Operator, name, identity string) (spec job.Spec, err error) {
	if _, err := b.vault.Get(ctx, name); err != nil {
		return spec, err
	}
	args := backupArgs{Backup: name}
	args.of(by)
	if args.Identity, err = b.seal(identity); err != nil {
		return spec, err
	}
	return job.Spec{Kind: JobBackupDrill, Args: args, By: by.Name}, nil
}

func (b *Backups) drill(ctx context.Context, r *job.Run) error {
	var args backupArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	open, err := b.opens(args)
	if err != nil {
		return err
	}
	out, err := b.archives.Drill(ctx, args.operator(), Restore{Open: func() (io.ReadCloser, error) { return open(ctx) }, Name: args.Backup, Progress: r.Progress, Job: r.Job.ID}, b.repos)
	if err != nil {
		return err
	}
	return r.Result(out.ResultOf())
}

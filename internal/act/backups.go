package act

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// The kinds of job that keep archives in the deployment's store, and make tenants of them.
const (
	JobBackup      = actTenantBackup
	JobRestore     = actTenantRestore
	JobClone       = actTenantClone
	JobBackupDrill = "backup drill"

	actBackupDelete = "backup delete"
)

var (
	// ErrNoRecipient refuses a backup that nobody said to encrypt.
	ErrNoRecipient = errors.New("the backup would not be encrypted: give a recipient of age, or say that this is meant")
	// ErrAgeKey refuses a text that is no recipient of age, or an identity that is none.
	ErrAgeKey = errors.New("bad key of age")
	// ErrManyBackups refuses a backup to a tenant's own operator who has many already.
	ErrManyBackups = errors.New("too many backups are kept already")
	// ErrNotYours refuses to delete a backup to a tenant's own operator who did not make it.
	ErrNotYours = errors.New("the backup was made by somebody of the deployment")
)

const (
	// ownBackups is how many a tenant's own operators may keep: the place is the deployment's.
	ownBackups = 20
	// MaxBackupPage bounds a list.
	MaxBackupPage = 200
)

// BackupRules are what a deployment says of its backups.
type BackupRules struct {
	Recipients []string      // all archives are encrypted for these, too
	Identities string        // of age, by which the server itself may open them; "": it is told each time
	Keep       time.Duration // 0: until somebody deletes them
}

// Backups keep archives in the deployment's store, as jobs. They need what [Archives] need, and the store.
type Backups struct {
	*TenantActs
	archives *Archives
	vault    *vault.Vault // nil: there is none
	rules    BackupRules
	repos    *repodb.Store
	jobs     *job.Runner
	log      *slog.Logger
}

// NewBackups makes them.
func NewBackups(archives *Archives, v *vault.Vault, rules BackupRules, repos *repodb.Store, jobs *job.Runner) *Backups {
	return &Backups{NewTenantActs(archives.db, archives.tenants, archives.now), archives, v, rules, repos, jobs, archives.log}
}

// Check says what is wrong with the rules. Errors: [ErrAgeKey].
func (r BackupRules) Check() error {
	if err := (archive.Lock{Recipients: r.Recipients}).Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrAgeKey, err)
	}
	if r.Identities != "" {
		if err := (archive.Keys{Identities: r.Identities}).Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrAgeKey, err)
		}
	}
	return nil
}

// Kinds are the kinds of work that a process must register. Whichever process has one, another may begin it anew: nothing
// is changed before an archive is whole, and what is in the place of what is known by the job's name.
func (b *Backups) Kinds() []job.Kind {
	passes := func(err error) bool { return db.IsUnavailable(err) || errors.Is(err, vault.ErrStore) }
	return []job.Kind{
		{Name: JobBackup, Work: b.backup, Passes: passes},
		{Name: JobRestore, Work: b.restore, Alone: true, Passes: passes},
		{Name: JobClone, Work: b.clone, Passes: passes},
		{Name: JobBackupDrill, Work: b.drill, Passes: passes},
	}
}

// backupArgs are what these jobs are started with. Identity is sealed.
type backupArgs struct {
	startedBy
	Of string `json:"deploymentRole,omitempty"`

	Backup     string            `json:"backup,omitempty"`
	Hostname   string            `json:"hostname,omitempty"`
	Node       int32             `json:"node,omitempty"`
	Blobs      archive.BlobMode  `json:"blobs,omitempty"`
	Recipients []string          `json:"recipients,omitempty"`
	KeepUntil  time.Time         `json:"keepUntil,omitzero"`
	Replace    bool              `json:"replace,omitempty"`
	Settings   map[string]string `json:"settings,omitempty"`
	Identity   []byte            `json:"sealedIdentity,omitempty"`
}

func (a *backupArgs) of(by Operator) {
	a.startedBy = started(by)
	a.Of = by.Deployment.String()
	if by.ofTenant() {
		a.Of = auth.DeploymentTenant.String()
	}
}

// vaultTenant is whose archives are a tenant's.
func vaultTenant(t *tenant.Tenant) vault.Tenant {
	return vault.Tenant{Schema: t.Schema.String(), CreatedAt: t.CreatedAt}
}

// NewBackup says what a backup is to be.
type NewBackup struct {
	Blobs       archive.BlobMode
	Recipients  []string
	Unencrypted bool          // it is meant that nobody is named
	Keep        time.Duration // 0: as the deployment keeps them
}

// Start has a tenant kept in the store, while it is served. Errors: [vault.ErrNone], [ErrNoRecipient], [ErrAgeKey],
// [ErrManyBackups].
func (b *Backups) Start(ctx context.Context, by Operator, t *tenant.Tenant, n NewBackup) (spec job.Spec, err error) {
	if b.vault == nil {
		return spec, vault.ErrNone
	}
	args := backupArgs{Blobs: n.Blobs, Recipients: append(append([]string{}, n.Recipients...), b.rules.Recipients...)}
	args.of(by)
	if len(args.Recipients) == 0 && !n.Unencrypted {
		return spec, ErrNoRecipient
	}
	if err := (archive.Lock{Recipients: args.Recipients}).Check(); err != nil {
		return spec, fmt.Errorf("%w: %w", ErrAgeKey, err)
	}
	if by.ofTenant() {
		if err := b.mayKeep(ctx, t); err != nil {
			return spec, err
		}
	}
	keep := n.Keep
	if keep == 0 {
		keep = b.rules.Keep
	}
	if keep != 0 {
		args.KeepUntil = b.now().Add(keep).UTC().Truncate(time.Second)
	}
	return job.Spec{Kind: JobBackup, TenantID: t.ID, Args: args, By: by.Name}, nil
}

// mayKeep holds a tenant's own operators to their number.
func (b *Backups) mayKeep(ctx context.Context, t *tenant.Tenant) error {
	of := vaultTenant(t)
	kept, _, err := b.vault.List(ctx, &of, "", ownBackups+1)
	if err != nil {
		return err
	}
	open, err := b.jobs.List(ctx, job.Filter{TenantID: t.ID, Open: true, Max: ownBackups})
	if err != nil {
		return err
	}
	n := len(kept)
	for _, j := range open {
		if j.Kind == JobBackup {
			n++
		}
	}
	if n >= ownBackups {
		return fmt.Errorf("%w: %d of %s; delete some, or ask the owner of the deployment", ErrManyBackups, n, t.Hostname)
	}
	return nil
}

func (b *Backups) backup(ctx context.Context, r *job.Run) error {
	var args backupArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	t, err := b.ready(ctx, r.Job.TenantID)
	if err != nil {
		return err
	}
	lock := archive.Lock{Recipients: args.Recipients}
	e := vault.Entry{
		Name:     vault.Name(vaultTenant(t), t.Hostname, r.Job.CreatedAt, r.Job.ID, args.KeepUntil),
		Hostname: t.Hostname, TenantID: t.ID, Schema: t.Schema.String(), By: args.By, Role: args.Of, Job: r.Job.ID,
		Encrypted: lock.Encrypts(), Recipients: args.Recipients, Blobs: string(args.Blobs), KeepUntil: args.KeepUntil,
	}
	if r.Job.Attempts > 1 { // an attempt before this one may have got to its end
		if kept, err := b.vault.Get(ctx, e.Name); err == nil && kept.Job == r.Job.ID {
			return r.Result(kept)
		}
	}
	e, err = b.vault.Add(ctx, e, func(w io.Writer, e *vault.Entry) error {
		h, m, err := b.archives.Backup(ctx, t, args.operator(), w, archive.Options{Blobs: args.Blobs, Lock: lock, Progress: r.Progress})
		e.MadeAt, e.Program, e.LastSeq, e.Rows, e.Files, e.Missing = h.MadeAt, h.Program, h.LastSeq, m.Rows, m.Blobs, m.Missing
		return err
	})
	if err != nil {
		return err
	}
	return r.Result(e)
}

func (b *Backups) ready(ctx context.Context, id int64) (*tenant.Tenant, error) {
	if err := b.tenants.Refresh(ctx); err != nil {
		return nil, err
	}
	t, err := b.tenants.ByID(ctx, id)
	if err != nil {
		return nil, err
	}
	return b.tenants.Ready(ctx, t)
}

// List gives the archives of one tenant, or of all where t is nil.
func (b *Backups) List(ctx context.Context, t *tenant.Tenant, behind string, most int) (page []vault.Entry, more bool, err error) {
	if t == nil {
		return b.vault.List(ctx, nil, behind, most)
	}
	of := vaultTenant(t)
	return b.vault.List(ctx, &of, behind, most)
}

// Get says what an archive is; of the tenant, where t is not nil. Errors: [vault.ErrNotFound].
func (b *Backups) Get(ctx context.Context, t *tenant.Tenant, name string) (vault.Entry, error) {
	e, err := b.vault.Get(ctx, name)
	if err == nil && t != nil && !e.Of(vaultTenant(t)) {
		return vault.Entry{}, fmt.Errorf("%w: %.80q", vault.ErrNotFound, name)
	}
	return e, err
}

// Delete deletes an archive; of the tenant, where t is not nil. Errors: [vault.ErrNotFound], [ErrNotYours].
func (b *Backups) Delete(ctx context.Context, by Operator, t *tenant.Tenant, name string) error {
	e, err := b.Get(ctx, t, name)
	if err != nil {
		return err
	}
	return b.logged(ctx, by, actBackupDelete, e.TenantID, deed{name, map[string]any{"hostname": e.Hostname, "madeAt": e.MadeAt}}, func() (int64, error) {
		if by.ofTenant() && e.Role != auth.DeploymentTenant.String() {
			return 0, ErrNotYours
		}
		return 0, b.vault.Remove(ctx, name)
	})
}

// expireEvery is how often archives are looked for whose time is over.
const expireEvery = time.Hour

// Run deletes them until the context ends.
func (b *Backups) Run(ctx context.Context) error {
	if b.vault == nil {
		return nil
	}
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		gone, err := b.vault.Expire(ctx)
		for _, name := range gone {
			b.log.Info("a backup's time is over, it is deleted", "backup", name)
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("old backups cannot be deleted; another try in an hour", "store", b.vault.Where(), "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

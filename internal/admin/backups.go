package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// backupOperations keep tenants in the deployment's store of backups, and make tenants of what is there.
type backupOperations struct {
	backups *act.Backups
	jobs    *job.Runner
}

func (o backupOperations) register(g *group) {
	const watch = " The answer is the job that does it: getJob watches it."
	tenantChanger(g, post("/v1/tenants/{tenant}/backups", "backupTenant", "Keep a tenant in the deployment's store of backups, of one moment, while it is served.").
		saying("It is encrypted for the recipients that are given and for the deployment's own (--backup-recipient). The answer is the job that does it: its result is the backup. A token of role tenant keeps at most 20.").answering(http.StatusAccepted), o.make)
	tenantReader(g, get("/v1/tenants/{tenant}/backups", "listTenantBackups", "List the backups of a tenant, the newest first."), o.listOne)
	tenantReader(g, get("/v1/tenants/{tenant}/backups/{backup}", "getTenantBackup", "Show one backup of a tenant."), o.getOne)
	tenantChanger(g, remove("/v1/tenants/{tenant}/backups/{backup}", "deleteTenantBackup", "Delete a backup of a tenant.").
		saying("A token of role tenant deletes only what such a token made."), o.removeOne)
	tenantOwner(g, post("/v1/tenants/{tenant}/clone", "cloneTenant", "Copy a tenant for trying things out: the same people and records under another hostname, with keys of its own, and speaking to nobody.").
		saying(watch[1:]).answering(http.StatusAccepted), o.clone)
	support(g, get("/v1/backups", "listBackups", "List the backups of all tenants, of each the newest first.").
		saying("Those of tenants that are gone are there, too."), o.list)
	support(g, get("/v1/backups/{backup}", "getBackup", "Show one backup."), o.get)
	support(g, get("/v1/proofs", "listProofs", "Show what was proved restorable, and when: each tenant, the whole database, and the copies of master keys.").
		saying("Drills of backups prove tenants; 'locus key check' proves the database and the copies."), o.proofs)
	owner(g, remove("/v1/backups/{backup}", "deleteBackup", "Delete a backup."), o.remove)
	owner(g, post("/v1/backups/{backup}/restore", "restoreBackup", "Make a tenant of a backup, or put the backup in the place of a tenant.").
		saying("Nothing is changed before the backup is loaded and proven."+watch).answering(http.StatusAccepted), o.restore)
	owner(g, post("/v1/backups/{backup}/drill", "drillBackup", "Try whether a backup could be restored: into a schema that nobody is served from, which goes again.").
		saying("The job's result says ok, or what would be missing."+watch).answering(http.StatusAccepted), o.drill)
}

// Backup is an archive in the deployment's store.
type Backup struct {
	Name       string     `json:"name" doc:"Its name."`
	Hostname   string     `json:"hostname" doc:"Hostname of the tenant, at that time."`
	TenantID   int64      `json:"tenantId" doc:"Number of the tenant, in the deployment that made it."`
	MadeAt     time.Time  `json:"madeAt" doc:"The moment that it shows."`
	By         string     `json:"by" doc:"Who wanted it."`
	Job        string     `json:"job,omitempty" doc:"The job that made it."`
	Program    string     `json:"program" doc:"Version of the program that made it."`
	Encrypted  bool       `json:"encrypted" doc:"It opens with a key only."`
	Recipients []string   `json:"recipients" doc:"Keys of age that it is encrypted for."`
	Blobs      string     `json:"blobs" doc:"Files: include, reference or none."`
	Bytes      int64      `json:"bytes" doc:"Size of the archive."`
	Rows       int64      `json:"rows" doc:"Rows of tables in it."`
	Files      int64      `json:"files" doc:"Files in it."`
	Missing    int64      `json:"missingFiles" doc:"Files that were not in their store."`
	LastSeq    int64      `json:"lastSeq" doc:"Number of the last event in it."`
	KeepUntil  *time.Time `json:"keepUntil,omitempty" doc:"It is deleted after this day, unless it is the tenant's newest. Left out: it stays."`
}

func backupOf(e vault.Entry) Backup {
	out := Backup{
		Name: e.Name, Hostname: e.Hostname, TenantID: e.TenantID, MadeAt: e.MadeAt, By: e.By, Job: e.Job, Program: e.Program, Encrypted: e.Encrypted,
		Recipients: append([]string{}, e.Recipients...), Blobs: e.Blobs, Bytes: e.Bytes, Rows: e.Rows, Files: e.Files, Missing: e.Missing, LastSeq: e.LastSeq,
	}
	if !e.KeepUntil.IsZero() {
		out.KeepUntil = &e.KeepUntil
	}
	return out
}

func (o backupOperations) started(ctx context.Context, c Caller, t *tenant.Tenant, subject string, spec job.Spec, err error) (*jobOutput, error) {
	if err != nil {
		return nil, err
	}
	var j job.Job
	if t != nil {
		j, err = o.backups.StartJob(ctx, c.by(), o.jobs, t, spec)
	} else {
		j, err = o.backups.StartDeploymentJob(ctx, c.by(), o.jobs, subject, spec)
	}
	if err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}

type makeBackupInput struct {
	TenantPath
	Body struct {
		Recipients  []string `json:"recipients,omitempty" maxItems:"20" doc:"Public keys of age (age1…) that it is encrypted for."`
		Unencrypted bool     `json:"unencrypted,omitempty" doc:"It is meant that nobody is named: whoever has the archive reads it."`
		Blobs       string   `json:"blobs,omitempty" enum:"include,reference,none" default:"include" doc:"Files: in the archive, only where they lie, or not at all."`
		KeepDays    int      `json:"keepDays,omitempty" minimum:"1" maximum:"36500" doc:"When it is deleted. Left out: as the deployment does (--backup-keep)."`
	}
}

func (o backupOperations) make(ctx context.Context, c TenantChanger, in *makeBackupInput) (*jobOutput, error) {
	if err := c.Tenant.Usable(); err != nil {
		return nil, err
	}
	spec, err := o.backups.Start(ctx, c.by(), c.Tenant, act.NewBackup{
		Blobs: archive.BlobMode(in.Body.Blobs), Recipients: in.Body.Recipients, Unencrypted: in.Body.Unencrypted, Keep: time.Duration(in.Body.KeepDays) * 24 * time.Hour,
	})
	return o.started(ctx, c.Caller, c.Tenant, "", spec, err)
}

// BackupPage selects backups. Huma finds the defaults of exported types only.
type BackupPage struct {
	Cursor string `query:"cursor" maxLength:"400" doc:"The cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at most."`
}

type backupsOutput struct {
	Body struct {
		Backups []Backup `json:"backups" doc:"The page."`
		Cursor  string   `json:"cursor,omitempty" doc:"There may be more: give this for the next page."`
	}
}

func (o backupOperations) page(ctx context.Context, t *tenant.Tenant, in BackupPage) (*backupsOutput, error) {
	list, more, err := o.backups.List(ctx, t, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := new(backupsOutput)
	out.Body.Backups = make([]Backup, len(list))
	for i, e := range list {
		out.Body.Backups[i] = backupOf(e)
	}
	if more && len(list) > 0 {
		out.Body.Cursor = list[len(list)-1].Name
	}
	return out, nil
}

func (o backupOperations) list(ctx context.Context, _ SupportCaller, in *BackupPage) (*backupsOutput, error) {
	return o.page(ctx, nil, *in)
}

type tenantBackupsInput struct {
	TenantPath
	BackupPage
}

func (o backupOperations) listOne(ctx context.Context, c TenantReader, in *tenantBackupsInput) (*backupsOutput, error) {
	return o.page(ctx, c.Tenant, in.BackupPage)
}

// BackupPath names a backup.
type BackupPath struct {
	Backup string `path:"backup" maxLength:"400" doc:"Name of the backup."`
}

type tenantBackupPath struct {
	TenantPath
	BackupPath
}

type backupOutput struct{ Body Backup }

func (o backupOperations) one(ctx context.Context, t *tenant.Tenant, name string) (*backupOutput, error) {
	e, err := o.backups.Get(ctx, t, name)
	if err != nil {
		return nil, err
	}
	return &backupOutput{backupOf(e)}, nil
}

func (o backupOperations) get(ctx context.Context, _ SupportCaller, in *BackupPath) (*backupOutput, error) {
	return o.one(ctx, nil, in.Backup)
}

func (o backupOperations) getOne(ctx context.Context, c TenantReader, in *tenantBackupPath) (*backupOutput, error) {
	return o.one(ctx, c.Tenant, in.Backup)
}

func (o backupOperations) remove(ctx context.Context, c OwnerCaller, in *BackupPath) (*noOutput, error) {
	return nil, o.backups.Delete(ctx, c.by(), nil, in.Backup)
}

func (o backupOperations) removeOne(ctx context.Context, c TenantChanger, in *tenantBackupPath) (*noOutput, error) {
	return nil, o.backups.Delete(ctx, c.by(), c.Tenant, in.Backup)
}

type cloneInput struct {
	TenantPath
	Body struct {
		Hostname string `json:"hostname" minLength:"1" maxLength:"253" doc:"Hostname of the copy."`
		Node     string `json:"node,omitempty" maxLength:"80" doc:"Database for the copy: see listNodes."`
	}
}

func (o backupOperations) clone(ctx context.Context, c TenantOwner, in *cloneInput) (*jobOutput, error) {
	if err := c.Tenant.Usable(); err != nil {
		return nil, err
	}
	spec, err := o.backups.StartClone(ctx, c.by(), c.Tenant, in.Body.Hostname, in.Body.Node)
	return o.started(ctx, c.Caller, c.Tenant, "", spec, err)
}

type restoreInput struct {
	BackupPath
	Body struct {
		Hostname string            `json:"hostname,omitempty" maxLength:"253" doc:"Hostname of the restored tenant. Left out: the one that it had."`
		Replace  bool              `json:"replace,omitempty" doc:"Put the backup in the place of the tenant that is there. What happened since is gone."`
		Node     string            `json:"node,omitempty" maxLength:"80" doc:"Database for a tenant that is not there: see listNodes."`
		Settings map[string]string `json:"settings,omitempty" doc:"Settings that are to be other ones than in the backup, for a tenant that is not there."`
		Identity string            `json:"identity,omitempty" maxLength:"4000" doc:"Secret key of age (AGE-SECRET-KEY-1…) that opens it. Stored sealed until the job has ended. Left out: the deployment's (--backup-identity-file)."`
	}
}

func (o backupOperations) restore(ctx context.Context, c OwnerCaller, in *restoreInput) (*jobOutput, error) {
	spec, err := o.backups.StartRestore(ctx, c.by(), act.RestoreWish{
		Backup: in.Backup, Hostname: in.Body.Hostname, Replace: in.Body.Replace, Node: in.Body.Node, Settings: in.Body.Settings, Identity: in.Body.Identity,
	})
	return o.started(ctx, c.Caller, nil, in.Backup, spec, err)
}

type drillInput struct {
	BackupPath
	Body *struct {
		Identity string `json:"identity,omitempty" maxLength:"4000" doc:"Secret key of age (AGE-SECRET-KEY-1…) that opens it. Stored sealed until the job has ended. Left out: the deployment's (--backup-identity-file)."`
	}
}

func (o backupOperations) drill(ctx context.Context, c OwnerCaller, in *drillInput) (*jobOutput, error) {
	identity := ""
	if in.Body != nil {
		identity = in.Body.Identity
	}
	spec, err := o.backups.StartDrill(ctx, c.by(), in.Backup, identity)
	return o.started(ctx, c.Caller, nil, in.Backup, spec, err)
}

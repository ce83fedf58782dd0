package console

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// registerBackups are the pages of backups, of all tenants and of one.
func (s *Server) registerBackups() {
	s.get(Root+"/backups", support, func(v *Visit) error { return v.backups(http.StatusOK) })
	s.post(Root+"/backups/drill", owner, (*Visit).drillBackup)
	s.post(Root+"/backups/delete", owner, (*Visit).deleteBackup)
	s.get(Root+"/backups/one", support, func(v *Visit) error { return v.backup(http.StatusOK) })
	s.post(Root+"/backups/restore", owner, (*Visit).restoreBackup)
	s.get(Root+"/t/{tenant}/backups", master, func(v *Visit) error { return v.backups(http.StatusOK) })
	s.post(Root+"/t/{tenant}/backups", master, (*Visit).makeBackup)
	s.get(Root+"/t/{tenant}/backups/one", master, func(v *Visit) error { return v.backup(http.StatusOK) })
	s.post(Root+"/t/{tenant}/backups/delete", master, (*Visit).deleteBackup)
}

// backupsPerPage is how many are listed.
const backupsPerPage = 30

// backupsPage is a page of the list.
type backupsPage struct {
	None    bool // there is no store
	Backups []vault.Entry
	List    string
	Next    string
}

func (v *Visit) backups(status int) error {
	p := &backupsPage{List: v.backupList()}
	behind := v.Query("behind")
	if len(behind) > 400 {
		return notFound
	}
	if v.s.Backups == nil {
		p.None = true
		return v.Show(status, "backups", p)
	}
	list, more, err := v.s.Backups.List(v.ctx(), v.Tenant, behind, backupsPerPage)
	if errors.Is(err, vault.ErrNone) {
		p.None, err = true, nil
	}
	if err != nil {
		return err
	}
	p.Backups = list
	if more && len(list) > 0 {
		p.Next = v.with("behind", list[len(list)-1].Name)
	}
	return v.Show(status, "backups", p)
}

func (v *Visit) makeBackup() error {
	if v.s.Backups == nil {
		return v.refusedForm(vault.ErrNone, v.backups)
	}
	spec, err := v.s.Backups.Start(v.ctx(), v.By(), v.Tenant, act.NewBackup{
		Blobs: archive.BlobMode(v.Form.Get("blobs")), Recipients: words(v.Form.Get("recipients")), Unencrypted: v.Form.On("unencrypted"),
	})
	var j job.Job
	if err == nil {
		j, err = v.s.Backups.StartJob(v.ctx(), v.By(), v.s.Jobs, v.Tenant, spec)
	}
	if err != nil {
		return v.refusedForm(err, v.backups)
	}
	return v.Done(v.TenantPath("/jobs/"+j.ID), "The backup was begun.")
}

func (v *Visit) drillBackup() error {
	if v.s.Backups == nil {
		return v.refusedForm(vault.ErrNone, v.backups)
	}
	name := v.Form.Get("backup")
	spec, err := v.s.Backups.StartDrill(v.ctx(), v.By(), name, v.Form.Text("identity"))
	var j job.Job
	if err == nil {
		j, err = v.s.Backups.StartDeploymentJob(v.ctx(), v.By(), v.s.Jobs, name, spec)
	}
	if err != nil {
		return v.refusedForm(err, v.backup)
	}
	return v.Done(Root+"/jobs/"+j.ID, "The trial was begun: its result says what would be missing.")
}

func (v *Visit) deleteBackup() error {
	if v.s.Backups == nil {
		return v.refusedForm(vault.ErrNone, v.backups)
	}
	if !v.Form.On("sure") {
		return v.refusedForm(&problem{status: http.StatusBadRequest, title: "Not confirmed", text: "Tick that the backup is to be deleted. Nothing was done."}, v.backup)
	}
	if err := v.s.Backups.Delete(v.ctx(), v.By(), v.Tenant, v.Form.Get("backup")); err != nil {
		return v.refusedForm(err, v.backup)
	}
	return v.Done(v.backupList(), "The backup is deleted.")
}

// backupList is where the list is that the page belongs to.
func (v *Visit) backupList() string {
	if v.Tenant != nil {
		return v.TenantPath("/backups")
	}
	return Root + "/backups"
}

// backupPage says what one backup is, and what can be done with it.
type backupPage struct {
	vault.Entry
	Living  string // the tenant that has its name now; "": none
	Nodes   []tenant.Node
	List    string
	Deletes bool // who looks may delete it
}

// KeyHint says what is to be entered for a secret key, and what becomes of it.
func (*backupPage) KeyHint() string {
	return "The line that begins with AGE-SECRET-KEY-1, of one of the recipients. It is kept sealed until the job has ended, and shown to nobody. Empty: the deployment's key, where it has one."
}

// backupNamed is the backup that the form or the address names. Errors: [vault.ErrNone], [vault.ErrNotFound].
func (v *Visit) backupNamed() (vault.Entry, error) {
	if v.s.Backups == nil {
		return vault.Entry{}, vault.ErrNone
	}
	name := v.Query("backup")
	if v.R.Method == http.MethodPost {
		name = v.Form.Get("backup")
	}
	return v.s.Backups.Get(v.ctx(), v.Tenant, name)
}

func (v *Visit) backup(status int) error {
	e, err := v.backupNamed()
	if err != nil {
		return err
	}
	p := &backupPage{Entry: e, List: v.backupList(), Deletes: v.May(owner)}
	if v.Tenant != nil {
		p.Deletes = v.May(keeper) || e.Role == auth.DeploymentTenant.String() // as the act has it
	}
	living, err := v.living(e.Hostname)
	if err != nil {
		return err
	}
	if living != nil {
		p.Living = living.Hostname
	}
	if p.Nodes, err = v.s.Tenants.Nodes(v.ctx()); err != nil {
		return err
	}
	return v.Show(status, "backup", p)
}

// living is the tenant of a name, or nil. One whose making was interrupted is none: the restore completes it.
func (v *Visit) living(hostname string) (*tenant.Tenant, error) {
	t, err := v.s.Tenants.Get(v.ctx(), hostname)
	if errors.Is(err, tenant.ErrNotFound) || err == nil && t.State == tenant.Provisioning {
		return nil, nil
	}
	return t, err
}

// restoreBackup makes a tenant of a backup, or puts it in the place of one, whose hostname has to be typed for it.
func (v *Visit) restoreBackup() error {
	e, err := v.backupNamed()
	if err != nil {
		return err
	}
	w := act.RestoreWish{Backup: e.Name, Hostname: v.Form.Text("hostname"), Node: v.Form.Text("node"), Identity: v.Form.Text("identity")}
	living, err := v.living(cmp.Or(w.Hostname, e.Hostname))
	if err != nil {
		return err
	}
	if living != nil && v.Form.On("replace") {
		if v.Form.Text("confirm") != living.Hostname {
			return v.refusedForm(&problem{status: http.StatusBadRequest, title: "Not confirmed", text: "Type " + living.Hostname + " to confirm that this is the tenant that the backup takes the place of. Nothing was done."}, v.backup)
		}
		w.Replace = true
	}
	spec, err := v.s.Backups.StartRestore(v.ctx(), v.By(), w)
	var j job.Job
	if err == nil {
		j, err = v.s.Backups.StartDeploymentJob(v.ctx(), v.By(), v.s.Jobs, e.Name, spec)
	}
	if err != nil {
		return v.refusedForm(err, v.backup)
	}
	return v.Done(Root+"/jobs/"+j.ID, "The restore was begun.")
}

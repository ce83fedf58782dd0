package console

import (
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/job"
)

// registerBackups are the pages of backups, of all tenants and of one.
func (s *Server) registerBackups() {
	s.get(Root+"/backups", support, func(v *Visit) error { return v.backups(http.StatusOK) })
	s.post(Root+"/backups/drill", owner, (*Visit).drillBackup)
	s.post(Root+"/backups/delete", owner, (*Visit).deleteBackup)
	s.get(Root+"/t/{tenant}/backups", master, func(v *Visit) error { return v.backups(http.StatusOK) })
	s.post(Root+"/t/{tenant}/backups", master, (*Visit).makeBackup)
}

// backupsPerPage is how many are listed.
const backupsPerPage = 30

// backupsPage is a page of the list.
type backupsPage struct {
	None    bool // there is no store
	Backups []vault.Entry
	Next    string
}

func (v *Visit) backups(status int) error {
	p := new(backupsPage)
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
	return v.Done(v.TenantPath("/jobs/"+j.ID), "The backup is being made.")
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
		return v.refusedForm(err, v.backups)
	}
	return v.Done(Root+"/jobs/"+j.ID, "The backup is being tried: its result says what would be missing.")
}

func (v *Visit) deleteBackup() error {
	if v.s.Backups == nil {
		return v.refusedForm(vault.ErrNone, v.backups)
	}
	if err := v.s.Backups.Delete(v.ctx(), v.By(), nil, v.Form.Get("backup")); err != nil {
		return v.refusedForm(err, v.backups)
	}
	return v.Done(Root+"/backups", "The backup is deleted.")
}

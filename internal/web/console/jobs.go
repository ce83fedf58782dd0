package console

import (
	"net/http"
	"strings"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// registerJobs are the pages of long work, of all tenants and of one.
func (s *Server) registerJobs() {
	s.get(Root+"/jobs", support, (*Visit).jobs)
	s.get(Root+"/jobs/{job}", support, func(v *Visit) error { return v.job(http.StatusOK) })
	s.post(Root+"/jobs/{job}/cancel", owner, (*Visit).cancelJob)
	s.get(Root+"/t/{tenant}/jobs", supporter, (*Visit).jobs)
	s.get(Root+"/t/{tenant}/jobs/{job}", supporter, func(v *Visit) error { return v.job(http.StatusOK) })
	s.post(Root+"/t/{tenant}/jobs/{job}/cancel", keeper, (*Visit).cancelJob)
}

// jobsPerPage is how many jobs are listed.
const jobsPerPage = 30

// jobsPage is a page of the list.
type jobsPage struct {
	Open  bool
	Jobs  []listedJob
	First string
	Next  string
	Busy  bool // one of them has not ended
}

// listedJob is one with where its page is, and whose it is.
type listedJob struct {
	job.Job
	Path, Tenant string
}

// jobPage is one with what it was started with, and what came of it.
type jobPage struct {
	listedJob
	Asked, Came []said
}

// Tag is how its state is shown.
func (l listedJob) Tag() string {
	switch l.State {
	case job.Done:
		return "success"
	case job.Failed:
		return "error"
	case job.Running:
		return "warning"
	}
	return ""
}

// Idle says what it does while the work itself says nothing.
func (l listedJob) Idle() string {
	if l.State == job.Running {
		return "It is being done."
	}
	return "It waits for a server."
}

// Made is the tenant that came of it; "": none did.
func (l listedJob) Made() string {
	var made struct {
		Hostname string `json:"hostname"`
	}
	if l.Kind != act.JobRestore && l.Kind != act.JobClone || l.State != job.Done || l.Into(&made) != nil {
		return ""
	}
	return made.Hostname
}

// failures are what a job may have come to grief over, and what to do then: its error is a text by now.
var failures = []struct {
	sentinel error
	title    string
	advice   string
}{
	{archive.ErrEncrypted, "The backup is encrypted", "Restore or try it again, with the secret key of age that opens it."},
	{archive.ErrWrongKey, "The key does not open the backup", "Give the secret key that belongs to one of its recipients."},
	{archive.ErrDamaged, "The backup is damaged", "Nothing of it was restored. Take another one."},
	{archive.ErrNotArchive, "This is no backup", "Nothing of it was restored. Take another one."},
	{archive.ErrTooNew, "The backup is of a newer program", "Update the servers first."},
	{archive.ErrSealed, "Its secrets are sealed under another master key", "Give this deployment that key beside its own, or make the backup again for a recipient: it carries what opens them then."},
	{act.ErrOtherTenant, "The backup is of another tenant", "Enter the hostname at the restore, if this is meant."},
	{act.ErrLiving, "There is such a tenant already", "Choose another hostname, or let the backup take its place."},
	{tenant.ErrHandlesExist, "There are handles under it", ""},
	{tenant.ErrHostnameTaken, "The name is taken", "Choose another hostname."},
	{tenant.ErrState, "Not in this state", "Look at the tenant's page: it is not what it was when the job was wanted."},
	{db.ErrNoNode, "The server cannot reach the database", "Its configuration has to name the database (docs/databases.md)."},
	{vault.ErrStore, "The store of backups does not answer", "The log of the server that did the job says why."},
	{vault.ErrNotFound, "The backup is gone", "It was deleted, or its time was over."},
}

// Failure says in short what went wrong; "" where only the error says it.
func (l listedJob) Failure() string {
	for _, f := range failures {
		if strings.Contains(l.Error, f.sentinel.Error()) {
			return f.title
		}
	}
	return ""
}

// Advice says what to do about it.
func (l listedJob) Advice() string {
	for _, f := range failures {
		if l.Failure() == f.title {
			return f.advice
		}
	}
	return ""
}

func (v *Visit) listed(j job.Job) listedJob {
	l := listedJob{Job: j, Path: Root + "/jobs/" + j.ID}
	if v.Tenant != nil {
		l.Path = v.TenantPath("/jobs/" + j.ID)
	} else if t, err := v.s.Tenants.ByID(v.ctx(), j.TenantID); err == nil {
		l.Tenant = t.Hostname
	}
	return l
}

func (v *Visit) jobs() error {
	p := &jobsPage{Open: v.Query("open") != "", First: v.R.URL.Path}
	f := job.Filter{Open: p.Open, Before: v.Query("before"), Max: jobsPerPage}
	if v.Tenant != nil {
		f.TenantID = v.Tenant.ID
	}
	if len(f.Before) > 60 {
		return notFound
	}
	list, err := v.s.Jobs.List(v.ctx(), f)
	if err != nil {
		return err
	}
	for _, j := range list {
		p.Jobs = append(p.Jobs, v.listed(j))
		p.Busy = p.Busy || !j.Ended()
	}
	if len(list) == jobsPerPage {
		p.Next = v.with("before", list[len(list)-1].ID)
	}
	return v.Show(http.StatusOK, "jobs", p)
}

// theJob is the one that the path names, if it is the tenant's. Errors: [job.ErrNotFound].
func (v *Visit) theJob() (job.Job, error) {
	j, err := v.s.Jobs.Get(v.ctx(), v.R.PathValue("job"))
	if err == nil && v.Tenant != nil && j.TenantID != v.Tenant.ID {
		return job.Job{}, notFound
	}
	return j, err
}

func (v *Visit) job(status int) error {
	j, err := v.theJob()
	if err != nil {
		return err
	}
	nodes, err := v.s.Tenants.Nodes(v.ctx())
	if err != nil {
		return err
	}
	names := map[int64]string{}
	for _, n := range nodes {
		names[int64(n.ID)] = n.Name
	}
	return v.Show(status, "job", jobPage{v.listed(j), inWords(j.Kind, j.Told(), names), inWords(j.Kind, j.Result, names)})
}

func (v *Visit) cancelJob() error {
	j, err := v.theJob()
	if err != nil {
		return err
	}
	if _, err := v.s.Acts.CancelJob(v.ctx(), v.By(), v.s.Jobs, j.ID); err != nil {
		return v.refusedForm(err, v.job)
	}
	return v.Done(v.listed(j).Path, "It is to end. What it did it takes back where it still can.")
}

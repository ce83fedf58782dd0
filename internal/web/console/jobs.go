package console

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/auroralocus/locus/internal/job"
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

// Input and Output are what it was started with, and what came of it, as people read it.
func (l listedJob) Input() string { return indented(l.Args) }

// Output is what came of it.
func (l listedJob) Output() string { return indented(l.Result) }

func indented(text json.RawMessage) string {
	var b bytes.Buffer
	if len(text) == 0 || string(text) == "{}" || string(text) == "null" || json.Indent(&b, text, "", "  ") != nil {
		return ""
	}
	return b.String()
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
	return v.Show(status, "job", v.listed(j))
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

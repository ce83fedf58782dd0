package main

import (
	"context"
	"io"
	"os"

	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// waitFlags are what all commands have that do long work.
type waitFlags struct {
	Background bool `help:"Only start it: a running server does it. 'locus job watch' shows how far it is." aliases:"detach"` // as moves called it
}

// run does a job in this process, with its progress on standard error, or only starts it. print tells people what came
// of it; with asJSON the job is printed, with its result.
func (f waitFlags) run(ctx context.Context, jobs *job.Runner, tenants *tenant.Registry, spec job.Spec, asJSON bool, print func(io.Writer, job.Job) error) error {
	return f.judged(ctx, jobs, tenants, spec, asJSON, print, func(job.Job) error { return nil })
}

// judged is run for jobs whose result may say that something is wrong: judge makes an error of it, printed or not.
func (f waitFlags) judged(ctx context.Context, jobs *job.Runner, tenants *tenant.Registry, spec job.Spec, asJSON bool, print func(io.Writer, job.Job) error, judge func(job.Job) error) error {
	if f.Background {
		j, err := jobs.Start(ctx, spec)
		if err != nil {
			return err
		}
		return printJob(os.Stdout, jobJSONOf(ctx, j, tenants), asJSON)
	}
	p := newProgress()
	j, err := jobs.Do(ctx, spec, p.job)
	p.end()
	if err != nil {
		return err
	}
	if asJSON {
		err = printJob(os.Stdout, jobJSONOf(ctx, j, tenants), true)
	} else {
		err = print(os.Stdout, j)
	}
	if err != nil {
		return err
	}
	return judge(j)
}

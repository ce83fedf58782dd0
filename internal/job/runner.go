package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// lookEvery is how often a process looks for jobs that others started or lost.
	lookEvery = 2 * time.Second
	// claimFor is how long a process has a job without a word of it.
	claimFor = 30 * time.Second
	// renewEvery is also how soon a job learns that it is to end.
	renewEvery = time.Second
	// workers is how many jobs a process does at a time.
	workers = 3
	// attempts bounds how often a job is tried whose errors pass.
	attempts = 20
	// kept is how long one can read what became of a job.
	kept = 90 * 24 * time.Hour
	// forgetEvery is how often old ones are looked for, lostEvery those that only a process could do which has died.
	forgetEvery = time.Hour
	lostEvery   = time.Minute
	// maxErrorText bounds what is kept of an error.
	maxErrorText = 2000
)

// Runner starts jobs and does them. It is safe for concurrent use.
type Runner struct {
	db    *db.DB
	now   func() time.Time
	log   *slog.Logger
	kinds map[string]Kind
	names []string // of those that may be claimed
	wake  chan struct{}
	// begins is told of each attempt.
	begins func(context.Context, string) (context.Context, func(error))

	counts counts
}

// New makes a runner that can start and show jobs, and do those of the kinds that are registered with it.
func New(d *db.DB, now func() time.Time, log *slog.Logger) *Runner {
	return &Runner{
		db: d, now: now, log: log, kinds: map[string]Kind{}, wake: make(chan struct{}, 1),
		begins: func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} },
	}
}

// OnAttempt sets what is told of each attempt: its kind when it begins, and what came of it at its end. Set it before
// anything runs.
func (r *Runner) OnAttempt(begins func(ctx context.Context, kind string) (context.Context, func(error))) {
	r.begins = begins
}

// Register adds a kind of work. All are registered before anything runs.
func (r *Runner) Register(k Kind) {
	if k.Passes == nil {
		k.Passes = db.IsUnavailable
	}
	r.kinds[k.Name] = k
	if !k.Local {
		r.names = append(r.names, k.Name)
	}
}

// Start has some process do the work. A job of the same kind and key is given instead of a second one. Errors: [ErrBusy].
func (r *Runner) Start(ctx context.Context, s Spec) (Job, error) {
	j, _, err := r.insert(ctx, s, Waiting)
	if err == nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return j, err
}

func (r *Runner) insert(ctx context.Context, s Spec, state State) (j Job, made bool, err error) {
	args, err := json.Marshal(s.Args)
	if err != nil {
		return Job{}, false, fmt.Errorf("arguments of %s: %w", s.Kind, err)
	}
	now := r.now().UTC()
	p := controldb.InsertJobParams{
		JobID: newID(now), Kind: s.Kind, TenantID: s.TenantID, Alone: r.kinds[s.Kind].Alone && s.TenantID != 0, Local: r.kinds[s.Kind].Local,
		State: int16(state), Args: args, CreatedBy: s.By, CreatedAt: now, DueAt: now,
	}
	if s.Key != "" {
		p.Key = &s.Key
	}
	if state == Running {
		p.Attempts, p.StartedAt, p.DueAt = 1, &now, now.Add(claimFor)
	}
	row, err := r.db.Control().InsertJob(ctx, p)
	constraint, taken := db.IsUnique(err)
	switch {
	case err == nil:
		return jobOf(row), true, nil
	case taken && constraint == "job_key":
		row, err := r.db.Control().GetJobByKey(ctx, controldb.GetJobByKeyParams{Kind: s.Kind, Key: s.Key})
		if err != nil {
			return Job{}, false, fmt.Errorf("find the %s job of key %q: %w", s.Kind, s.Key, err)
		}
		return jobOf(row), false, nil
	case taken && constraint == "job_alone":
		return Job{}, false, r.busy(ctx, s.TenantID)
	}
	return Job{}, false, fmt.Errorf("start %s: %w", s.Kind, err)
}

// busy names the job that is in the way.
func (r *Runner) busy(ctx context.Context, tenant int64) error {
	row, err := r.db.Control().GetJobAlone(ctx, tenant)
	if err != nil {
		return fmt.Errorf("%w: start it again", ErrBusy) // it has ended meanwhile
	}
	return fmt.Errorf("%w: %s, which %s started, is %s ('locus job show %s')", ErrBusy, row.Kind, row.CreatedBy, State(row.State), row.JobID)
}

// Do does the work in this process and returns when the job has ended; each, if not nil, sees its progress. When this
// process dies, another one goes on, unless the kind is local. Where another process has the job of the same key, Do
// watches it. Errors: [ErrBusy], [ErrFailed] with the work's own, [ErrCancelled].
func (r *Runner) Do(ctx context.Context, s Spec, each func(Job)) (Job, error) {
	j, made, err := r.insert(ctx, s, Running)
	if err != nil {
		return j, err
	}
	if !made {
		return r.Watch(ctx, j.ID, each)
	}
	run := &Run{Job: j, runner: r}
	if each != nil {
		run.report.each = func(step string, done, total int64) {
			now := run.Job
			now.Step, now.Done, now.Total = step, done, total
			each(now)
		}
	}
	workErr := r.do(ctx, run)
	j, err = r.Get(context.WithoutCancel(ctx), j.ID)
	if err != nil {
		return j, errors.Join(workErr, err)
	}
	return j, ended(j, workErr)
}

func ended(j Job, err error) error {
	switch j.State {
	case Done:
		return nil
	case Cancelled:
		if j.Error != "" {
			return fmt.Errorf("%w: %s", ErrCancelled, j.Error)
		}
		return ErrCancelled
	case Failed:
		if err == nil {
			err = errors.New(j.Error)
		}
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err == nil {
		err = ErrLost
	}
	return fmt.Errorf("%w (job %s goes on where a server runs; 'locus job show %s')", err, j.ID, j.ID)
}

// Run does what jobs are due until the context ends. Jobs that it has are given back then.
func (r *Runner) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	places := make(chan struct{}, workers)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for forgotten, lost := (time.Time{}), (time.Time{}); ; {
		now := r.now()
		if now.Sub(lost) >= lostEvery {
			lost = now
			r.lose(ctx, now)
		}
		if now.Sub(forgotten) >= forgetEvery {
			forgotten = now
			r.forget(ctx, now)
		}
		for more := true; more; {
			select {
			case places <- struct{}{}:
			default:
				more = false
				continue
			}
			run, err := r.claim(ctx)
			if run == nil {
				<-places
				if err != nil && ctx.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
					r.log.Warn("jobs cannot be looked for", "err", err)
				}
				break
			}
			group.Go(func() {
				defer func() { <-places; r.nudge() }()
				_ = r.do(ctx, run) // its row says what became of it
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

func (r *Runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// lose says of local jobs whose process died that they have failed: nobody goes on with them, and lists would have them run
// for ever.
func (r *Runner) lose(ctx context.Context, now time.Time) {
	if _, err := r.db.Control().UpdateJobsLost(ctx, now); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
		r.log.Warn("jobs of dead processes cannot be ended", "err", err)
	}
}

func (r *Runner) forget(ctx context.Context, now time.Time) {
	before := now.Add(-kept)
	_, err := r.db.Control().DeleteJobsEnded(ctx, controldb.DeleteJobsEndedParams{Before: &before, MaxRows: 1000})
	if err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
		r.log.Warn("old jobs cannot be forgotten", "err", err)
	}
}

func (r *Runner) claim(ctx context.Context) (*Run, error) {
	if len(r.names) == 0 {
		return nil, nil
	}
	now := r.now().UTC()
	row, err := r.db.Control().LockDueJob(ctx, controldb.LockDueJobParams{Now: now, ClaimedUntil: now.Add(claimFor), Kinds: r.names})
	if db.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim a job: %w", err)
	}
	run := &Run{Job: jobOf(row), runner: r, saved: row.Saved}
	run.report.step, run.report.done, run.report.total = row.Step, row.Done, row.Total
	return run, nil
}

// Get reads a job. Errors: [ErrNotFound].
func (r *Runner) Get(ctx context.Context, id string) (Job, error) {
	row, err := r.db.Control().GetJob(ctx, id)
	if db.IsNoRows(err) {
		return Job{}, fmt.Errorf("%w: %.40q", ErrNotFound, id)
	}
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return jobOf(row), nil
}

// Filter says which jobs to list.
type Filter struct {
	TenantID int64  // 0: all
	Open     bool   // only those that have not ended
	Before   string // only those with a lesser id; "": from the newest
	Max      int
}

// List gives jobs, the newest first.
func (r *Runner) List(ctx context.Context, f Filter) ([]Job, error) {
	if f.Before == "" {
		f.Before = "~" // above every id
	}
	var rows []controldb.Job
	var err error
	if f.TenantID != 0 {
		rows, err = r.db.Control().ListJobsOfTenant(ctx, controldb.ListJobsOfTenantParams{TenantID: f.TenantID, Before: f.Before, Open: f.Open, MaxRows: int32(f.Max)})
	} else {
		rows, err = r.db.Control().ListJobs(ctx, controldb.ListJobsParams{Before: f.Before, Open: f.Open, MaxRows: int32(f.Max)})
	}
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	out := make([]Job, len(rows))
	for i, row := range rows {
		out[i] = jobOf(row)
	}
	return out, nil
}

// Cancel wants a job to end. One that has not begun ends at once; one that runs ends when it has taken back what it did.
// Errors: [ErrNotFound], [ErrEnded].
func (r *Runner) Cancel(ctx context.Context, id string) (Job, error) {
	row, err := r.db.Control().UpdateJobCancel(ctx, controldb.UpdateJobCancelParams{JobID: id, Now: r.now().UTC()})
	if db.IsNoRows(err) {
		j, err := r.Get(ctx, id)
		if err == nil {
			err = fmt.Errorf("%w: it is %s", ErrEnded, j.State)
		}
		return j, err
	}
	if err != nil {
		return Job{}, fmt.Errorf("cancel job %s: %w", id, err)
	}
	r.nudge()
	return jobOf(row), nil
}

// watchEvery is how often a job that others do is looked at.
const watchEvery = 500 * time.Millisecond

// Watch returns when the job has ended, and shows each change to each, if it is not nil. Errors: as of [Runner.Do].
func (r *Runner) Watch(ctx context.Context, id string, each func(Job)) (Job, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var last Job
	for {
		j, err := r.Get(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return j, err
		case err != nil && !db.IsUnavailable(err):
			return j, err
		case err == nil:
			if each != nil && (j.Step != last.Step || j.Done != last.Done || j.State != last.State) {
				each(j)
			}
			if last = j; j.Ended() {
				return j, ended(j, nil)
			}
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
	}
}

// Kinds are the names of the kinds that this process knows, sorted.
func (r *Runner) Kinds() []string {
	out := make([]string, 0, len(r.kinds))
	for name := range r.kinds {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

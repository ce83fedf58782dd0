// Package job does long work that people can watch and end, and that survives the process which began it.
//
// A job is a row in control.job. A process claims it for half a minute at a time; when the process dies, another one goes
// on from what the work has saved. So work is written to be begun again at any point.
package job

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/controldb"
)

// State is where a job is.
type State int16

// The states of a job.
const (
	Waiting   State = 0 // for a process, or for the next attempt
	Running   State = 1
	Done      State = 2
	Failed    State = 3
	Cancelled State = 4
)

func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Running:
		return "running"
	case Done:
		return "done"
	case Failed:
		return "failed"
	case Cancelled:
		return "cancelled"
	}
	return "unknown"
}

var (
	// ErrNotFound: there is no such job, or it ended so long ago that it was forgotten.
	ErrNotFound = errors.New("no such job")
	// ErrEnded: the job has ended already.
	ErrEnded = errors.New("the job has ended")
	// ErrBusy: another job works on the same tenant, and the two cannot at the same time.
	ErrBusy = errors.New("another job works on this tenant")
	// ErrCancelled is the cause of the end of a context when somebody wants the job to end.
	ErrCancelled = errors.New("the job was cancelled")
	// ErrLost is the cause when another process may have the job now.
	ErrLost = errors.New("the claim of the job was lost")
	// ErrTooLate is what an Abort answers when nothing can be taken back any more: the work goes on to its end.
	ErrTooLate = errors.New("the job cannot be cancelled any more")
	// ErrFailed comes with the error of a job that [Runner.Do] did.
	ErrFailed = errors.New("the job failed")
)

// Spec says what is to be done.
type Spec struct {
	Kind     string
	TenantID int64  // 0: no tenant's
	Args     any    // becomes JSON; never a secret
	By       string // who wants it
	Key      string // two specs of one kind and key are one job; "": each is its own
}

// Kind is a kind of work.
type Kind struct {
	Name string
	// Work does it. After a crash, or an error that passes, it is called again; it begins with [Run.State].
	Work func(ctx context.Context, r *Run) error
	// Abort takes back what the work did, when the job was cancelled; nil: there is nothing to take back. It is called
	// after Work has returned, also in another process, and again until it succeeds. [ErrTooLate] lets the work go on.
	Abort func(ctx context.Context, r *Run) error
	// Alone: no other such job of the tenant may be open at the same time.
	Alone bool
	// Local work has files or terminals open: no other process goes on with it.
	Local bool
	// Passes tells errors after which the work is tried again; nil: those of a database that does not answer.
	Passes func(error) bool
}

// Job is a job as it was read.
type Job struct {
	ID        string
	Kind      string
	TenantID  int64
	State     State
	Cancel    bool // somebody wants it to end
	Args      json.RawMessage
	Step      string // what it does
	Done      int64  // of Total
	Total     int64  // 0: not known
	Result    json.RawMessage
	Error     string // of the last attempt
	Attempts  int
	By        string
	CreatedAt time.Time
	StartedAt *time.Time
	EndedAt   *time.Time
}

// Ended tells whether nothing of it will change any more.
func (j Job) Ended() bool { return j.State >= Done }

// Told is what the work was given, for whoever looks at the job: without the sealed key that came with it, which is for the
// work alone.
func (j Job) Told() json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(j.Args, &all) != nil || all[sealedIdentity] == nil {
		return j.Args
	}
	delete(all, sealedIdentity)
	out, err := json.Marshal(all)
	if err != nil {
		return nil
	}
	return out
}

// sealedIdentity is a member of arguments that goes when the job has ended: UpdateJobOutcome knows it, too.
const sealedIdentity = "sealedIdentity"

func jobOf(row controldb.Job) Job {
	return Job{
		ID: row.JobID, Kind: row.Kind, TenantID: row.TenantID, State: State(row.State), Cancel: row.Cancel, Args: row.Args, Step: row.Step,
		Done: row.Done, Total: row.Total, Result: row.Result, Error: row.Error, Attempts: int(row.Attempts), By: row.CreatedBy,
		CreatedAt: row.CreatedAt.UTC(), StartedAt: row.StartedAt, EndedAt: row.EndedAt,
	}
}

// newID rises with time: 11 digits of microseconds, then what makes it the only one.
func newID(now time.Time) string {
	var raw [5]byte
	_, _ = rand.Read(raw[:]) // never fails: the runtime ends the process instead
	return fmt.Sprintf("%013x%s", now.UnixMicro(), hex.EncodeToString(raw[:]))
}

// Run is one attempt at a job.
type Run struct {
	Job    Job
	runner *Runner
	saved  json.RawMessage
	result json.RawMessage
	left   string
	report reporter
}

// Args reads what the job was started with.
func (r *Run) Args(into any) error {
	if err := json.Unmarshal(r.Job.Args, into); err != nil {
		return fmt.Errorf("arguments of job %s: %w", r.Job.ID, err)
	}
	return nil
}

// State reads what was saved last; nothing was: into stays as it is.
func (r *Run) State(into any) error {
	if len(r.saved) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.saved, into); err != nil {
		return fmt.Errorf("saved state of job %s: %w", r.Job.ID, err)
	}
	return nil
}

// Save keeps what the work needs to know to go on. Errors: [ErrLost].
func (r *Run) Save(ctx context.Context, state any) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("save job %s: %w", r.Job.ID, err)
	}
	n, err := r.runner.db.Control().UpdateJobSaved(ctx, controldb.UpdateJobSavedParams{Saved: raw, JobID: r.Job.ID, Attempts: int32(r.Job.Attempts)})
	if err != nil {
		return fmt.Errorf("save job %s: %w", r.Job.ID, err)
	}
	if n == 0 {
		return fmt.Errorf("save job %s: %w", r.Job.ID, ErrLost)
	}
	r.saved = raw
	return nil
}

// Progress says what the work does now and how far it is; total 0: not known. It asks nobody, so it may be called often.
func (r *Run) Progress(step string, done, total int64) { r.report.set(step, done, total) }

// Result is what the job answers when it is done. It becomes JSON; never a secret.
func (r *Run) Result(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("result of job %s: %w", r.Job.ID, err)
	}
	r.result = raw
	return nil
}

// Left says what an Abort leaves as it is, and what can be done about it. It stands in the error of the cancelled job.
func (r *Run) Left(text string) { r.left = text }

// Into reads what the job answered.
func (j Job) Into(result any) error {
	if len(j.Result) == 0 {
		return nil
	}
	if err := json.Unmarshal(j.Result, result); err != nil {
		return fmt.Errorf("result of job %s: %w", j.ID, err)
	}
	return nil
}

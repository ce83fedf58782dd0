package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// do makes one attempt at a claimed job, and writes down what became of it.
func (r *Runner) do(ctx context.Context, run *Run) error {
	r.counts.running.Add(1)
	defer r.counts.running.Add(-1)
	kind, ok := r.kinds[run.Job.Kind]
	if !ok {
		return r.finish(ctx, run, Failed, fmt.Errorf("this program knows no work of kind %q", run.Job.Kind))
	}
	var err error
	cancelled := run.Job.Cancel
	if !cancelled {
		cancelled, err = r.attempt(ctx, run, kind.Work, true)
	}
	if cancelled && (err != nil || run.Job.Cancel) {
		err = r.abort(ctx, run, kind)
		if !errors.Is(err, ErrTooLate) {
			return r.settle(ctx, run, kind, err, Cancelled)
		}
		_, err = r.attempt(ctx, run, kind.Work, false)
	}
	return r.settle(ctx, run, kind, err, Done)
}

func (r *Runner) abort(ctx context.Context, run *Run, kind Kind) error {
	if kind.Abort == nil {
		return nil
	}
	run.Progress("taking back what was done", 0, 0)
	_, err := r.attempt(ctx, run, kind.Abort, false)
	return err
}

// settle says what an attempt that ended with err means for the job; good is what it is without one.
func (r *Runner) settle(ctx context.Context, run *Run, kind Kind, err error, good State) error {
	switch {
	case err == nil && good == Cancelled && run.left != "":
		return r.finish(ctx, run, good, errors.New(run.left))
	case err == nil:
		return r.finish(ctx, run, good, nil)
	case errors.Is(err, ErrLost):
		return err
	case ctx.Err() != nil && kind.Local: // nobody else can go on
		ctx = context.WithoutCancel(ctx)
		return errors.Join(err, r.abort(ctx, run, kind), r.finish(ctx, run, Cancelled, err))
	case ctx.Err() != nil: // this process ends
		return errors.Join(err, r.putBack(ctx, run, err, 0))
	case kind.Passes(err) && run.Job.Attempts < attempts && !kind.Local:
		wait := min(time.Second<<min(run.Job.Attempts, 10), 10*time.Minute)
		return errors.Join(err, r.putBack(ctx, run, err, wait))
	}
	return errors.Join(err, r.finish(ctx, run, Failed, err))
}

// attempt runs a piece of work while the claim is renewed. With stop the work's context ends when the job is cancelled;
// cancelled says whether it is.
func (r *Runner) attempt(ctx context.Context, run *Run, work func(context.Context, *Run) error, stop bool) (cancelled bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	renewed := make(chan bool, 1)
	over := make(chan struct{})
	go func() { renewed <- r.renew(context.WithoutCancel(ctx), run, end, stop, over) }()
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		watched, ended := r.begins(ctx, run.Job.Kind)
		defer func() { ended(err) }()
		err = work(watched, run)
	}()
	close(over)
	cancelled = <-renewed
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrLost) {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	return cancelled, err
}

// renew keeps the claim until over is closed, and ends the work when the claim is lost or, with stop, when the job is
// cancelled.
func (r *Runner) renew(ctx context.Context, run *Run, end context.CancelCauseFunc, stop bool, over <-chan struct{}) (cancelled bool) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	until := r.now().Add(claimFor)
	for {
		select {
		case <-over:
			return cancelled
		case <-tick.C:
		}
		next := r.now().UTC().Add(claimFor)
		step, done, total := run.report.get()
		asked, cancel := context.WithTimeout(ctx, afterwards)
		wanted, err := r.db.Control().UpdateJobClaim(asked, controldb.UpdateJobClaimParams{
			ClaimedUntil: next, Step: step, Done: done, Total: total, JobID: run.Job.ID, Attempts: int32(run.Job.Attempts),
		})
		cancel()
		switch {
		case err == nil:
			until = next
		case db.IsNoRows(err), r.now().After(until.Add(-2 * renewEvery)):
			end(ErrLost)
			continue
		}
		if wanted && !cancelled {
			cancelled = true
			if stop {
				end(ErrCancelled)
			}
		}
	}
}

// afterwards is how long the last words of an attempt may take, also when its process is to end.
const afterwards = 10 * time.Second

func (r *Runner) finish(ctx context.Context, run *Run, state State, err error) error {
	now := r.now().UTC()
	r.counts.ended(state)
	if state == Done {
		run.report.finish()
	}
	return r.write(ctx, run, state, &now, now, err, state == Done || state == Cancelled)
}

// putBack gives the job to whoever comes after wait.
func (r *Runner) putBack(ctx context.Context, run *Run, err error, wait time.Duration) error {
	r.counts.retried.Add(1)
	return r.write(ctx, run, Waiting, nil, r.now().UTC().Add(wait), err, false)
}

func (r *Runner) write(ctx context.Context, run *Run, state State, ended *time.Time, due time.Time, err error, withResult bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	text := ""
	if err != nil {
		text = err.Error()
		text = text[:min(len(text), maxErrorText)]
	}
	var result json.RawMessage
	if withResult {
		result = run.result
	}
	step, done, total := run.report.get()
	n, err := r.db.Control().UpdateJobOutcome(ctx, controldb.UpdateJobOutcomeParams{
		State: int16(state), Step: step, Done: done, Total: total, Result: result, Error: text, EndedAt: ended, DueAt: due,
		JobID: run.Job.ID, Attempts: int32(run.Job.Attempts),
	})
	switch {
	case err != nil:
		return fmt.Errorf("write down what became of job %s: %w", run.Job.ID, err)
	case n == 0:
		return ErrLost
	}
	level := r.log.Info
	if state == Failed {
		level = r.log.Error
	}
	level("job", "id", run.Job.ID, "kind", run.Job.Kind, "tenant_id", run.Job.TenantID, "state", state.String(), "err", text)
	return nil
}

package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/did-method-plc/go-didplc"
	"golang.org/x/sync/errgroup"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// RenameRate is how many operations a second a directory gets, where nobody says otherwise. The public directory
	// answers 429 to those who ask too much, and then it is asked less.
	RenameRate    = 5
	maxRenameRate = 1000
	renameSlice   = 100             // accounts that are listed at a time
	renameSaved   = time.Second     // how often it is saved how far the work came
	renameLinger  = 5 * time.Second // what is begun with one account may take so long after the work was cancelled
	renameAtOnce  = 4               // of them at a time
	renameTries   = 6               // of one account, while the directory refuses for the moment
	renameMaxWait = 30 * time.Second
	maxLeft       = 1000 // accounts that are listed by name
)

// ErrRate: no rate of operations.
var ErrRate = fmt.Errorf("the rate must be from 1 to %d operations a second", maxRenameRate)

// RenameTenant is the job that gives a tenant another hostname, and changes the DID of each account. With handles those
// under the old hostname move along. rate 0: [RenameRate]. Errors: [ErrRate].
func RenameTenant(t *tenant.Tenant, by Operator, to string, handles bool, rate int) (job.Spec, error) {
	if rate == 0 {
		rate = RenameRate
	}
	if rate < 1 || rate > maxRenameRate {
		return job.Spec{}, ErrRate
	}
	return lifeSpec(JobRename, t.ID, by, lifeArgs{To: strings.ToLower(to), Handles: handles, Rate: rate}), nil
}

// Left is an account whose DID does not lead to the new name, and why.
type Left struct {
	DID    string `json:"did"`
	Handle string `json:"handle,omitempty"`
	Why    string `json:"why"`
}

// RenameResult is what a rename answers.
type RenameResult struct {
	Hostname string `json:"hostname"`
	Was      string `json:"was"`
	Accounts int64  `json:"accounts"`
	Changed  int64  `json:"changed"` // DIDs
	// LeftCount accounts are left as they were; the first of them are in Left.
	LeftCount int64  `json:"leftCount"`
	Left      []Left `json:"left"`
}

// renameState is what the job saves.
type renameState struct {
	Was       string  // the name that is left
	After     int64   // accounts up to this one are done
	Ahead     []int64 // and these behind it
	Done      int64
	Changed   int64
	LeftCount int64
	Left      []Left
}

// renaming is one attempt.
type renaming struct {
	*Acts
	run      *job.Run
	t        *tenant.Tenant
	args     lifeArgs
	rotation *keyring.Signer
	pace     *pace

	mu    sync.Mutex
	st    renameState
	saved time.Time
}

func (a *Acts) renameTenant(ctx context.Context, r *job.Run) error {
	w := &renaming{Acts: a, run: r}
	t, args, err := a.lifeOf(ctx, r, &w.st)
	if err != nil {
		return err
	}
	w.args, w.pace = args, newPace(args.Rate, time.Now, sleep)
	if err := w.takeName(ctx, t); err != nil {
		return err
	}
	if err := a.settle(ctx, r); err != nil {
		return err
	}
	if w.rotation, err = a.Tenants.RotationSigner(ctx, w.t); err != nil {
		return err
	}
	if err := w.walk(ctx); err != nil {
		return err
	}
	if w.t, err = a.Tenants.EndRename(ctx, w.t); err != nil {
		return err
	}
	if args.Handles {
		if w.t, err = a.Tenants.DropHandleDomain(ctx, w.t, w.st.Was); err != nil && !errors.Is(err, tenant.ErrHandlesExist) {
			return err
		}
	}
	return r.Result(RenameResult{args.To, w.st.Was, w.st.Done, w.st.Changed, w.st.LeftCount, append([]Left{}, w.st.Left...)})
}

// endRename is for a rename that is cancelled. What is changed stays so: both names are served, and the way back is a
// rename of its own, which takes as long. It says how far the work came.
func (a *Acts) endRename(ctx context.Context, r *job.Run) error {
	var st renameState
	t, args, err := a.lifeOf(ctx, r, &st)
	if err != nil {
		return err
	}
	if st.Was == "" || t.Hostname != args.To {
		return nil // it is called as before
	}
	total, err := a.DB.Tenant(t.Schema).Q().CountActorsAnnounced(ctx)
	if err != nil {
		return fmt.Errorf("count accounts of %s: %w", t.Hostname, err)
	}
	r.Left(fmt.Sprintf("the tenant is called %s; %d of %d accounts are done, the others are at %s as before, and both names are served. "+
		"'locus tenant rename %s %s' goes on, 'locus tenant rename %s %s' goes back", args.To, st.Done, total, st.Was, st.Was, args.To, args.To, st.Was))
	return r.Result(RenameResult{args.To, st.Was, st.Done, st.Changed, st.LeftCount, append([]Left{}, st.Left...)})
}

// takeName gives the tenant its new name, unless an attempt before this one did.
func (w *renaming) takeName(ctx context.Context, t *tenant.Tenant) (err error) {
	w.t = t
	if w.st.Was != "" && t.Hostname == w.args.To {
		return nil
	}
	was := t.Hostname
	if was == w.args.To { // somebody goes on with a rename that did not get to its end
		for _, f := range t.Former {
			if f.Since.IsZero() || was == w.args.To {
				was = f.Hostname
			}
		}
	}
	w.st.Was = was
	if err := w.run.Save(ctx, &w.st); err != nil {
		return err
	}
	detail := map[string]any{"from": was, "to": w.args.To, "handles": w.args.Handles}
	return w.noted(ctx, t, w.args.operator(), JobRename, deed{w.args.To, detail}, func() error {
		w.t, err = w.Tenants.BeginRename(ctx, t, w.args.To)
		return err
	})
}

// walk goes through all accounts, a slice at a time.
func (w *renaming) walk(ctx context.Context) error {
	q := w.DB.Tenant(w.t.Schema).Q()
	total, err := q.CountActorsAnnounced(ctx)
	if err != nil {
		return fmt.Errorf("count accounts of %s: %w", w.t.Hostname, err)
	}
	for {
		w.run.Progress("changing DIDs", w.st.Done, total)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rows, err := q.ListActorsAnnounced(ctx, tenantdb.ListActorsAnnouncedParams{After: w.st.After, MaxRows: renameSlice})
		if err != nil {
			return fmt.Errorf("list accounts of %s: %w", w.t.Hostname, err)
		}
		if len(rows) == 0 {
			return nil
		}
		var todo []announced
		group, each := errgroup.WithContext(ctx)
		group.SetLimit(renameAtOnce)
		for _, row := range rows {
			if !slices.Contains(w.st.Ahead, row.AID) {
				todo = append(todo, row)
			}
		}
		for _, row := range todo {
			group.Go(func() error { return w.account(each, row, total) })
		}
		if err := group.Wait(); err != nil {
			// Whoever is told how far it came, or goes on, is told of these accounts, too.
			if !db.IsUnavailable(err) {
				last, stop := linger(ctx, renameLinger)
				err = errors.Join(err, w.run.Save(last, &w.st))
				stop()
			}
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		w.st.After, w.st.Ahead = rows[len(rows)-1].AID, nil
		if err := w.run.Save(ctx, &w.st); err != nil {
			return err
		}
	}
}

// linger is a context that outlives ctx for a while: what was begun comes to its end, so that it is known what was done.
func linger(ctx context.Context, d time.Duration) (context.Context, func()) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return long, func() { stop(); cancel() }
}

// account changes one: its DID first, then what this server says of it.
func (w *renaming) account(ctx context.Context, row announced, total int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	handle := ""
	if row.Handle != nil {
		handle = *row.Handle
	}
	next := w.handle(ctx, handle)
	changed, why, err := w.changeDID(ctx, row.DID, handle, next)
	if err != nil {
		return fmt.Errorf("rename %s: %w", row.DID, err)
	}
	if why == "" {
		last, stop := linger(ctx, renameLinger)
		defer stop()
		if err := w.tell(last, row, handle, next); err != nil {
			return fmt.Errorf("rename %s: %w", row.DID, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.st.Done++
	if changed {
		w.st.Changed++
	}
	if why != "" {
		if w.st.LeftCount++; len(w.st.Left) < maxLeft {
			w.st.Left = append(w.st.Left, Left{row.DID, handle, why})
		}
	}
	w.run.Progress("changing DIDs", w.st.Done, total)
	w.st.Ahead = append(w.st.Ahead, row.AID)
	if time.Since(w.saved) < renameSaved || ctx.Err() != nil {
		return nil
	}
	w.saved = time.Now()
	return w.run.Save(ctx, &w.st)
}

// handle is the handle that an account is to have.
func (w *renaming) handle(ctx context.Context, handle string) string {
	name, ok := strings.CutSuffix(handle, "."+w.st.Was)
	if !w.args.Handles || !ok || strings.Contains(name, ".") || !slices.Contains(w.t.HandleDomains, w.t.Hostname) {
		return handle
	}
	next := name + "." + w.t.Hostname
	if w.handleFree(ctx, w.t, next) != nil {
		return handle // it is somebody's
	}
	return next
}

// changeDID has a DID lead to the new name. why says why it cannot be; an error is one that passes.
func (w *renaming) changeDID(ctx context.Context, did, old, handle string) (changed bool, why string, err error) {
	if !strings.HasPrefix(did, "did:plc:") {
		doc, err := w.Documents.Refresh(ctx, asker(w.t), did)
		if err == nil && doc.PDS() == w.t.PublicURL {
			return false, "", nil
		}
		return false, "only its owner changes its document: #atproto_pds must be " + w.t.PublicURL, nil
	}
	wait := time.Second
	for try := 1; ; try++ {
		changed, why, err = w.tryDID(ctx, did, old, handle)
		wanted, busy := identity.Busy(err)
		away := busy || errors.Is(err, identity.ErrDIDUnavailable)
		switch {
		case err == nil:
			w.pace.well()
			return changed, why, nil
		case ctx.Err() != nil:
			return false, "", context.Cause(ctx)
		case !away && !errors.Is(err, identity.ErrOperationConflict): // also the limit that each DID has: the others go on
			return false, err.Error(), nil
		case try == renameTries && away:
			return false, "", err // the job is tried again later
		case try == renameTries:
			return false, err.Error(), nil
		}
		if away {
			w.pace.slow(max(wait, wanted), busy)
			wait = min(2*wait, renameMaxWait)
		}
	}
}

func (w *renaming) tryDID(ctx context.Context, did, old, handle string) (changed bool, why string, err error) {
	if err := w.pace.wait(ctx); err != nil {
		return false, "", err
	}
	last, err := w.Directory.Last(ctx, did)
	if errors.Is(err, identity.ErrDIDNotFound) || errors.Is(err, identity.ErrDIDTombstoned) {
		return false, err.Error(), nil
	}
	if err != nil {
		return false, "", err
	}
	now, err := identity.RegularForm(last)
	if err != nil {
		return false, err.Error(), nil
	}
	at := now.Services[identity.ServicePDS].Endpoint
	switch {
	case !w.t.IsAt(at):
		return false, "its DID leads to another server: " + at, nil
	case at == w.t.PublicURL && (handle == old || slices.Contains(now.AlsoKnownAs, "at://"+handle)):
		return false, "", nil
	case !slices.Contains(now.RotationKeys, w.rotation.PublicDIDKey()):
		return false, "the tenant's key may not change this DID: its owner sets #atproto_pds to " + w.t.PublicURL, nil
	}
	op, err := identity.NewUpdate(last, w.rotation, func(op *didplc.RegularOp) {
		op.Services[identity.ServicePDS] = didplc.OpService{Type: identity.ServicePDSType, Endpoint: w.t.PublicURL}
		if handle != old {
			identity.SetHandle(op, handle)
		}
	})
	if err != nil {
		return false, err.Error(), nil
	}
	long, stop := linger(ctx, renameLinger)
	defer stop()
	if err := w.Directory.Submit(long, did, op); err != nil {
		return false, "", err
	}
	return true, "", nil
}

// tell changes the handle, and tells the network to look at the identity again. For a relay the new name is another host,
// as after a move, so it gets what follows a move: how the account is, and its newest commit.
func (w *renaming) tell(ctx context.Context, row announced, old, handle string) error {
	err := w.publish(ctx, w.t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		locked, err := q.LockActorAnnounced(ctx, row.AID)
		if db.IsNoRows(err) {
			return nil, nil // it was deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		now := announced(locked)
		var events []firehose.Event
		switch {
		case handle != old && now.Handle != nil && *now.Handle == old:
			events, err = accounts.SetHandle(ctx, q, w.Now(), row.AID, handle, nil)
		case now.Handle != nil:
			events = []firehose.Event{firehose.NewIdentity(row.AID, row.DID, *now.Handle, w.Now())}
		default:
			events = []firehose.Event{firehose.NewIdentity(row.AID, row.DID, "", w.Now())}
		}
		if err != nil {
			return nil, err
		}
		standing, err := standingOf(now, w.Now())
		return append(events, standing...), err
	})
	w.Actors.Forget(w.t.Schema, row.DID)
	return err
}

package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// JobMove is the kind of job that moves a tenant to another database.
const JobMove = "tenant move"

const actTenantMove = "tenant move"

const (
	// KeepMoved is how long the copy that a tenant leaves behind is kept where nobody says otherwise.
	KeepMoved = 24 * time.Hour
	// calmRows is how many rows may have changed since the copy was brought up to date for the move to be near: they are
	// copied while writers wait.
	calmRows = 5_000
	// catchUps bounds how often it is brought up to date before that, however much is written.
	catchUps = 20
	// checkedRepos is how many repositories are proved in the copy before the tenant moves.
	checkedRepos = 20
)

// Move is what a move is started with.
type Move struct {
	To          int32 `json:"to"`
	KeepSeconds int64 `json:"keepSeconds"` // the copy that is left behind
}

// Moved is what came of it.
type Moved struct {
	From         int32     `json:"from"`
	To           int32     `json:"to"`
	PauseMillis  int64     `json:"pauseMillis"` // how long writers waited
	Rows         int64     `json:"rows"`
	Checked      int       `json:"checkedRepos"`
	LeftSchema   string    `json:"leftSchema"` // "": none is left
	LeftUntil    time.Time `json:"leftUntil"`
	Bytes        int64     `json:"bytes,omitempty"` // within a Citus cluster
	SharedAnew   bool      `json:"sqlLoginEnded"`   // the owner's login to the old database
	ElapsedMilli int64     `json:"elapsedMillis"`
}

// moveState is what a move has to know to go on after a crash, beside what the copy says of itself.
type moveState struct {
	From  int32         `json:"from"`
	Rows  int64         `json:"rows"`
	Pause time.Duration `json:"pause"`
	Bytes int64         `json:"bytes"`
	// Checked is how many repositories were proved.
	Checked int `json:"checked"`
}

// MoveJob is the work of moving a tenant. at, for tests, is called at each step, and may stop it there.
func (a *TenantActs) MoveJob(at func(ctx context.Context, step string) error) job.Kind {
	if at == nil {
		at = func(context.Context, string) error { return nil }
	}
	return job.Kind{
		Name: JobMove, Alone: true,
		Work:   func(ctx context.Context, r *job.Run) error { return a.moveWork(ctx, r, at) },
		Abort:  a.moveAbort,
		Passes: func(err error) bool { return db.IsUnavailable(err) || errors.Is(err, db.ErrUnknownOutcome) },
	}
}

// StartMove says what is to be done to move a tenant. Errors: [tenant.ErrNodeNotFound], [ErrMoveNowhere].
func (a *TenantActs) StartMove(ctx context.Context, t *tenant.Tenant, by Operator, node string, keep time.Duration) (job.Spec, error) {
	n, err := a.tenants.Node(ctx, node)
	switch {
	case err != nil:
		return job.Spec{}, err
	case n.ID == t.NodeID:
		return job.Spec{}, fmt.Errorf("%w: %s is in %s already", ErrMoveNowhere, t.Hostname, node)
	case !n.Known:
		return job.Spec{}, fmt.Errorf("%w: %s", db.ErrNoNode, node)
	case a.db.Apart(t.NodeID, n.ID):
		return job.Spec{}, fmt.Errorf("%w: %s lies outside the Citus cluster of the other: 'locus tenant backup' and 'locus tenant restore --node' take it there", ErrMoveNowhere, t.Hostname)
	case keep < 0:
		return job.Spec{}, fmt.Errorf("%w: the time that the old copy is kept cannot be negative", ErrMoveNowhere)
	}
	return job.Spec{Kind: JobMove, TenantID: t.ID, Args: Move{n.ID, int64(keep / time.Second)}, By: by.Name}, nil
}

// ErrMoveNowhere refuses a move that cannot be.
var ErrMoveNowhere = errors.New("the tenant cannot be moved so")

// moving is one attempt at a move.
type moving struct {
	acts  *TenantActs
	run   *job.Run
	args  Move
	state moveState
	t     *tenant.Tenant
	carry *db.Carry
	at    func(ctx context.Context, step string) error
}

func (a *TenantActs) moveWork(ctx context.Context, r *job.Run, at func(ctx context.Context, step string) error) error {
	m := &moving{acts: a, run: r, at: at}
	if err := m.begin(ctx); err != nil {
		return err
	}
	if m.t.NodeID == m.args.To {
		if m.state.From == 0 { // it was moved there after this job was started
			return m.run.Result(Moved{From: m.t.NodeID, To: m.args.To})
		}
		return m.end(ctx) // a process died, or lost its claim, behind the decision
	}
	if a.db.Within(m.state.From, m.args.To) {
		return m.within(ctx)
	}
	for _, step := range []func(context.Context) error{m.copy, m.catchUp, m.check, m.cross} {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		err := step(ctx)
		if errors.Is(err, db.ErrFenced) {
			break // another attempt has decided
		}
		if errors.Is(err, db.ErrCarryChanged) {
			return fmt.Errorf("%w: %w", db.ErrUnavailable, err) // begins anew
		}
		if err != nil {
			return err
		}
	}
	if err := m.carry.Finish(ctx, a.now().Add(time.Duration(m.args.KeepSeconds)*time.Second)); err != nil {
		return err
	}
	if err := m.at(ctx, "finished"); err != nil {
		return err
	}
	return m.end(ctx)
}

// begin reads what is to be done, and says in control that it is being done.
func (m *moving) begin(ctx context.Context) (err error) {
	a := m.acts
	if err := m.run.Args(&m.args); err != nil {
		return err
	}
	if err := m.run.State(&m.state); err != nil {
		return err
	}
	if err := a.tenants.Refresh(ctx); err != nil {
		return err
	}
	if m.t, err = a.tenants.ByID(ctx, m.run.Job.TenantID); err != nil {
		return err
	}
	if m.t, err = a.tenants.Ready(ctx, m.t); err != nil {
		return err
	}
	if err := a.db.LearnNodes(ctx); err != nil {
		return err
	}
	from := m.state.From
	if from == 0 {
		if from = m.t.NodeID; from == m.args.To {
			return nil
		}
	}
	if !a.db.Within(from, m.args.To) {
		if m.carry, err = a.db.Carry(m.run.Job.ID, m.t.Schema.On(from), m.args.To, a.now); err != nil {
			return err
		}
	}
	if m.t.NodeID == m.args.To {
		return nil
	}
	if err := m.register(ctx, from); err != nil {
		return err
	}
	m.state.From = from
	return m.run.Save(ctx, m.state)
}

// register says in control that the tenant is on its way. What an earlier job has left, which failed, is ended or taken back
// first: no other is open.
func (m *moving) register(ctx context.Context, from int32) error {
	a := m.acts
	before, err := a.tenants.BeginMove(ctx, m.t.ID, m.run.Job.ID, from, m.args.To)
	if err != nil || before == nil {
		return err
	}
	if a.db.Within(before.From, before.To) { // it is there, or nothing has happened
		if err := a.tenants.EndMove(ctx, m.t.ID, before.ID); err != nil {
			return err
		}
		_, err := a.tenants.BeginMove(ctx, m.t.ID, m.run.Job.ID, from, m.args.To)
		return err
	}
	old, err := a.db.Carry(before.ID, m.t.Schema.On(before.From), before.To, a.now)
	if err != nil {
		return err
	}
	err = old.Abort(ctx)
	if errors.Is(err, db.ErrFenced) {
		if err := old.Finish(ctx, a.now().Add(KeepMoved)); err != nil {
			return err
		}
		return fmt.Errorf("%w: an earlier move was brought to its end first", db.ErrMoved)
	}
	if err == nil {
		err = a.tenants.EndMove(ctx, m.t.ID, before.ID)
	}
	if err == nil {
		_, err = a.tenants.BeginMove(ctx, m.t.ID, m.run.Job.ID, from, m.args.To)
	}
	return err
}

func (m *moving) copy(ctx context.Context) error {
	m.run.Progress("preparing the copy", 0, 0)
	if err := m.carry.Prepare(ctx); err != nil {
		return err
	}
	if err := m.at(ctx, "prepared"); err != nil {
		return err
	}
	err := m.carry.CopyAll(ctx, func(done, total int64) {
		m.state.Rows = done
		m.run.Progress("copying rows", done, total)
	})
	if err != nil {
		return err
	}
	if err := m.run.Save(ctx, m.state); err != nil {
		return err
	}
	return m.at(ctx, "copied")
}

func (m *moving) catchUp(ctx context.Context) error {
	for range catchUps {
		changed, err := m.carry.CatchUp(ctx, false, func(table string) { m.run.Progress("copying what changed: "+table, 0, 0) })
		if err != nil {
			return err
		}
		if changed <= calmRows {
			break
		}
	}
	return m.at(ctx, "caught up")
}

// check proves the copy, as it is at one moment, before anything depends on it.
func (m *moving) check(ctx context.Context) error {
	m.run.Progress("comparing all rows", 0, 0)
	if _, err := m.carry.CatchUp(ctx, true, func(table string) { m.run.Progress("comparing all rows: "+table, 0, 0) }); err != nil {
		return err
	}
	m.run.Progress("proving repositories", 0, 0)
	bad, err := m.proveSome(ctx, m.carry.Copy())
	if err != nil {
		return err
	}
	if bad != "" {
		return fmt.Errorf("%w: %s", db.ErrCarryDiffers, bad)
	}
	return m.at(ctx, "checked")
}

// proveSome proves a few of the repositories of a schema, spread over all of them.
func (m *moving) proveSome(ctx context.Context, s db.Schema) (bad string, err error) {
	err = m.acts.db.Tenant(s).ReadTx(ctx, func(tx *db.ReadTx) error {
		head, err := tx.Q().GetStreamHead(ctx)
		if err != nil {
			return err
		}
		after := int64(0)
		m.state.Checked = 0
		for range checkedRepos {
			page, err := tx.Q().ListRepoHeads(ctx, tenantdb.ListRepoHeadsParams{AfterAID: after, MaxRows: 1})
			if err != nil || len(page) == 0 {
				return err
			}
			r, err := repodb.CheckIn(ctx, tx, page[0].AID)
			if err != nil {
				return err
			}
			if !r.OK() {
				bad = fmt.Sprintf("repository %s: %s", r.DID, r.Problems[0])
				return nil
			}
			m.state.Checked++
			after = max(page[0].AID, after+head.NextAID/checkedRepos)
		}
		return nil
	})
	return bad, err
}

// cross holds up writers for a moment, and moves.
func (m *moving) cross(ctx context.Context) error {
	m.run.Progress("waiting for a moment without long writes", 0, 0)
	pause, err := m.carry.Fence(ctx)
	if err != nil {
		return err
	}
	m.state.Pause = pause
	if err := m.at(ctx, "fenced"); err != nil {
		return err
	}
	return m.run.Save(ctx, m.state)
}

// end does what is left when the tenant is served from its new place.
func (m *moving) end(ctx context.Context) error {
	a := m.acts
	if m.carry == nil {
		return m.endWithin(ctx)
	}
	m.run.Progress("checking foreign keys", 0, 0)
	if err := m.carry.Settle(ctx); err != nil {
		return err
	}
	if err := a.tenants.Refresh(ctx); err != nil {
		return err
	}
	now, err := a.tenants.ByID(ctx, m.t.ID)
	if err != nil {
		return err
	}
	until := a.now().Add(time.Duration(m.args.KeepSeconds) * time.Second)
	left, err := a.tenants.KeepLeft(ctx, now, m.state.From, until)
	if err != nil {
		return err
	}
	old := m.t.Schema.On(m.state.From)
	_, shared, err := a.db.Shared(ctx, old)
	if err == nil && shared { // its views show the copy that was left behind
		err = a.db.Unshare(ctx, old)
	}
	if err != nil {
		return err
	}
	out := Moved{
		From: m.state.From, To: m.args.To, PauseMillis: m.state.Pause.Milliseconds(), Rows: m.state.Rows, Checked: m.state.Checked,
		LeftSchema: left, LeftUntil: until.UTC(), SharedAnew: shared,
	}
	if err := m.noteEnd(ctx, now, &out); err != nil {
		return err
	}
	if m.args.KeepSeconds == 0 {
		if err := a.DropLeft(ctx); err != nil {
			return err
		}
	}
	return m.run.Result(out)
}

// noteEnd writes what came of the move into the tenant's log.
func (m *moving) noteEnd(ctx context.Context, now *tenant.Tenant, out *Moved) error {
	a := m.acts
	if m.run.Job.StartedAt != nil {
		out.ElapsedMilli = a.now().Sub(*m.run.Job.StartedAt).Milliseconds()
	}
	return a.db.Tenant(now.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return record(ctx, q, a.now(), Operator{Operator: auth.Operator{Name: m.run.Job.By, Role: auth.RoleOwner}}, actTenantMove, deed{now.Hostname, *out})
	})
}

// moveAbort drops the copy, unless the tenant is there already.
func (a *TenantActs) moveAbort(ctx context.Context, r *job.Run) error {
	m := &moving{acts: a, run: r}
	if err := m.begin(ctx); err != nil {
		return err
	}
	if m.t.NodeID == m.args.To {
		return job.ErrTooLate
	}
	if m.carry == nil {
		return m.abortWithin(ctx)
	}
	err := m.carry.Abort(ctx)
	if errors.Is(err, db.ErrFenced) {
		return job.ErrTooLate
	}
	if err != nil {
		return err
	}
	return a.tenants.EndMove(ctx, m.t.ID, r.Job.ID)
}

// DropLeft drops the copies that moved tenants left behind, and whose time is over.
func (a *TenantActs) DropLeft(ctx context.Context) error { return a.tenants.DropLeft(ctx) }

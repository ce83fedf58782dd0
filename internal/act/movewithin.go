package act

import (
	"context"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/db"
)

// within has a Citus cluster bring the tenant to a worker. It moves and says so in one transaction, so there is nothing to
// go on with after a crash: the tenant is there, or the work begins anew.
func (m *moving) within(ctx context.Context) error {
	a := m.acts
	m.run.Progress("preparing", 0, 0)
	if err := a.db.MigrateTenant(ctx, m.t.Schema); err != nil {
		return err
	}
	if err := m.at(ctx, "prepared"); err != nil {
		return err
	}
	out, err := a.db.MoveWithin(ctx, db.ClusterMove{
		ID: m.run.Job.ID, Schema: m.t.Schema.On(m.state.From), To: m.args.To,
		Progress: func(step string, done, total int64) { m.run.Progress("Citus: "+strings.ToLower(step), done, total) },
	})
	if err != nil {
		return err
	}
	m.state.Pause, m.state.Bytes = out.Pause, out.Bytes
	if err := m.at(ctx, "moved"); err != nil {
		return err
	}
	if err := m.run.Save(ctx, m.state); err != nil {
		return err
	}
	return m.end(ctx)
}

// endWithin does what is left when the tenant is served by another worker. Citus drops the old tables by itself. The
// owner's SQL login is to the worker that the tenant has left.
func (m *moving) endWithin(ctx context.Context) error {
	a := m.acts
	if err := a.tenants.Refresh(ctx); err != nil {
		return err
	}
	now, err := a.tenants.ByID(ctx, m.t.ID)
	if err != nil {
		return err
	}
	m.run.Progress("proving repositories", 0, 0)
	bad, err := m.proveSome(ctx, now.Schema)
	if err != nil {
		return err
	}
	if bad != "" {
		return fmt.Errorf("%w, and the tenant is served from there: %s", db.ErrCarryDiffers, bad)
	}
	old := m.t.Schema.On(m.state.From)
	_, shared, err := a.db.Shared(ctx, old)
	if err == nil && shared {
		err = a.db.Unshare(ctx, old)
	}
	if err != nil {
		return err
	}
	out := Moved{SharedAnew: shared, From: m.state.From, To: m.args.To, PauseMillis: m.state.Pause.Milliseconds(), Bytes: m.state.Bytes, Checked: m.state.Checked}
	if err := m.noteEnd(ctx, now, &out); err != nil {
		return err
	}
	return m.run.Result(out)
}

// abortWithin takes back what an attempt has left that was ended on its way: Citus does it by itself a little later, and
// then this one finds nothing.
func (m *moving) abortWithin(ctx context.Context) error {
	if err := m.acts.tenants.EndMove(ctx, m.t.ID, m.run.Job.ID); err != nil {
		return err
	}
	return m.acts.db.CleanAfterMove(ctx)
}

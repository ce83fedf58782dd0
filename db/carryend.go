package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Fence holds up the writers of the source, copies the rest, and gives the source up: it is the moment at which the tenant
// moves. pause is how long writers waited. An error other than [ErrUnknownOutcome] means that they went on at the source.
// Errors: [ErrCarryBusy], [ErrCarryDiffers], [ErrCarryChanged], [ErrFenced], [ErrCarrying].
func (c *Carry) Fence(ctx context.Context) (pause time.Duration, err error) {
	for try := 1; ; try++ {
		// Now and then longer than Postgres lets a vacuum be in the way; a writer that it ends for that begins again.
		wait := lockTime
		if try > 3 && try%2 == 0 {
			wait = 2 * lockTime
		}
		pause, err = c.fence(ctx, wait)
		var pg *pgconn.PgError
		blocked := errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01") // lock_timeout; a deadlock
		if !blocked {
			return pause, c.explain(ctx, err)
		}
		if try == lockTries {
			return 0, fmt.Errorf("%w: %w", ErrCarryBusy, err)
		}
		select { // writers go on meanwhile
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(lockTime):
		}
	}
}

func (c *Carry) fence(ctx context.Context, wait time.Duration) (pause time.Duration, err error) {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, PauseTime)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil && whole.Err() == nil {
			err = fmt.Errorf("%w: the rest took longer than %s: %w", ErrCarryBusy, PauseTime, err)
		}
	}()
	var began time.Time
	err = c.guarded(ctx, func(src pgx.Tx) error {
		all, err := tables(ctx, src, c.source)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return ErrCarryChanged
		}
		// In the order in which commits take theirs: the heads first, the stream last.
		rank := map[string]int{"actor": -1, "stream_head": 1}
		slices.SortStableFunc(all, func(a, b Table) int { return rank[a.Name] - rank[b.Name] })
		names := make([]string, len(all))
		for i, t := range all {
			names[i] = c.at(c.source, t)
		}
		names = append(names, c.name+"."+schema.VersionTable) // migrations, too
		if err := do(ctx, src, fmt.Sprintf("SET LOCAL lock_timeout = %d", wait.Milliseconds())); err != nil {
			return err
		}
		began = c.now()
		for _, sql := range []string{
			"LOCK TABLE " + strings.Join(names, ", ") + " IN EXCLUSIVE MODE", // readers go on
			"SET LOCAL lock_timeout = 0",
		} {
			if err := do(ctx, src, sql); err != nil {
				return err
			}
		}
		if err := c.into(ctx, src, c.rest(ctx)); err != nil {
			return err
		}
		// The copy is complete and committed. What follows is the decision.
		for _, sql := range []string{
			"ALTER SCHEMA " + c.name + " RENAME TO " + c.moved(),
			"COMMENT ON SCHEMA " + c.moved() + " IS " + literal(c.note()),
		} {
			if err := do(ctx, src, sql); err != nil {
				return err
			}
		}
		return nil
	})
	return c.now().Sub(began), err
}

// rest copies what is left while writers wait.
func (c *Carry) rest(ctx context.Context) func(src, dst pgx.Tx, st *carried) error {
	return func(src, dst pgx.Tx, st *carried) error {
		if err := c.catchUpLocked(ctx, src, dst, st); err != nil {
			return err
		}
		// Numbers go on as they are: nothing is lost. A history that the source's last number is not of stays another one.
		var same bool
		err := src.QueryRow(ctx, "SELECT timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM "+c.name+".stream_head WHERE id = 1").Scan(&same)
		if err != nil {
			return err
		}
		timeline := "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
		if !same {
			timeline = "''"
		}
		return do(ctx, dst, "UPDATE "+c.copy.name+".stream_head SET timeline = "+timeline+" WHERE id = 1")
	}
}

// Finish makes the copy the tenant's schema, and says so in control. Any process may do it, and again. at is when, and
// dropAt when the source that was given up may go. Errors: [ErrNotFenced].
func (c *Carry) Finish(ctx context.Context, dropAt time.Time) error {
	fenced, err := c.fenced(ctx)
	if err != nil {
		return err
	}
	if !fenced {
		return ErrNotFenced
	}
	err = transact(ctx, c.to.admin, pgx.TxOptions{}, func(dst pgx.Tx) error { return c.arrive(ctx, dst) })
	if err != nil {
		return fmt.Errorf("rename the copy of %s: %w", c.name, classify(err))
	}
	return c.db.ControlTx(ctx, func(q *controldb.Queries) error {
		row, err := q.GetTenantMoveOfSchema(ctx, c.name)
		if IsNoRows(err) {
			return nil // another process was first
		}
		if err != nil {
			return err
		}
		if row.MoveID != c.id {
			return nil
		}
		revision, err := q.LockNextCounter(ctx, "revision")
		if err != nil {
			return fmt.Errorf("take a revision: %w", err)
		}
		// Everybody goes to the new place from here on.
		if _, err := q.UpdateTenantNode(ctx, controldb.UpdateTenantNodeParams{TenantID: row.TenantID, Source: row.Source, Target: row.Target, Revision: revision}); err != nil {
			return err
		}
		err = q.InsertLeftover(ctx, controldb.InsertLeftoverParams{NodeID: row.Source, SchemaName: c.moved(), TenantID: row.TenantID, DropAt: dropAt})
		if err == nil {
			_, err = q.DeleteTenantMove(ctx, controldb.DeleteTenantMoveParams{TenantID: row.TenantID, MoveID: c.id})
		}
		return err
	})
}

// arrive gives the copy the tenant's name, if it has not got it, and ties its tables together again.
func (c *Carry) arrive(ctx context.Context, dst pgx.Tx) error {
	// Everybody who meets the fence comes here: one does it, the others find it done.
	if _, err := dst.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", c.key()); err != nil {
		return err
	}
	var there bool
	err := dst.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", c.name).Scan(&there)
	if err != nil || there {
		return err
	}
	st, err := c.read(ctx, dst)
	if err != nil {
		return err
	}
	for _, r := range st.Refs {
		err := do(ctx, dst, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", pgx.Identifier{c.copy.name, r.Table}.Sanitize(), pgx.Identifier{r.Name}.Sanitize(), r.Text))
		if err != nil {
			return err
		}
	}
	if err := do(ctx, dst, "DROP TABLE "+c.copy.name+"."+stateTable); err != nil {
		return err
	}
	if err := do(ctx, dst, "ALTER SCHEMA "+c.copy.name+" RENAME TO "+c.name); err != nil {
		return err
	}
	// A deployment with roles made one for the copy's name.
	for _, one := range []func() (string, error){
		func() (string, error) { return c.db.roleText(ctx, dst.Conn(), c.copy, ungrant) },
		func() (string, error) {
			s := c.source.On(c.to.node)
			return c.db.roleText(ctx, dst.Conn(), s, func(role string) string { return grant(role, s) })
		},
	} {
		text, err := one()
		if err == nil && text != "" {
			_, err = dst.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Settle does what can be done once the tenant is served from its new place: foreign keys are held against the rows, and
// the planner learns what is there.
func (c *Carry) Settle(ctx context.Context) error {
	r := runner{pool: c.to.admin}
	rows, err := r.Query(ctx, `SELECT format('ALTER TABLE %I.%I VALIDATE CONSTRAINT %I', n.nspname, r.relname, k.conname)
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class r ON r.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
		WHERE n.nspname = $1 AND k.contype = 'f' AND NOT k.convalidated
		UNION ALL SELECT format('ANALYZE %I.%I', n.nspname, r.relname)
		FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE n.nspname = $1 AND r.relkind = 'r'`, c.name)
	if err != nil {
		return err
	}
	script, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, sql := range script {
		if _, err := r.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

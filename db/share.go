package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What an owner's login may take at most.
const (
	ShareStatementTime = 30 * time.Second
	shareIdleTime      = time.Minute
	shareConns         = 3
)

// ErrNoRoles means that the server's user may not make roles.
var ErrNoRoles = errors.New("the server's database user may not make roles")

// ShareRole is the role of a tenant's owner in Postgres.
func ShareRole(s Schema) string { return "locus_" + schema.ShareName(s.name) }

// Share makes the views that a tenant's owner reads, and the role that reads them and nothing else, with a new password.
// Errors: [ErrNoRoles].
func (d *DB) Share(ctx context.Context, s Schema, password string) error {
	if s.IsZero() {
		return ErrNoSchema
	}
	at, err := d.serverOf(s)
	if err != nil {
		return err
	}
	err = transact(ctx, at.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := makeRole(ctx, tx, s, password); err != nil {
			return err
		}
		return makeShare(ctx, tx, s)
	})
	if err != nil {
		return fmt.Errorf("share %s: %w", s, roleError(err))
	}
	return nil
}

func makeRole(ctx context.Context, tx pgx.Tx, s Schema, password string) error {
	role := ShareRole(s)
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)", role).Scan(&there); err != nil {
		return err
	}
	verb := "CREATE"
	if there {
		verb = "ALTER"
	}
	_, err := tx.Exec(ctx, fmt.Sprintf(`%[1]s ROLE %[2]s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT CONNECTION LIMIT %[3]d PASSWORD %[4]s`,
		verb, role, shareConns, literal(password)))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, fmt.Sprintf(`ALTER ROLE %[1]s SET default_transaction_read_only = on;
ALTER ROLE %[1]s SET statement_timeout = %[2]d;
ALTER ROLE %[1]s SET idle_in_transaction_session_timeout = %[3]d;
ALTER ROLE %[1]s SET search_path = %[4]s;
GRANT %[1]s TO CURRENT_USER`, // who may end its statements
		role, ShareStatementTime.Milliseconds(), shareIdleTime.Milliseconds(), schema.ShareName(s.name)), pgx.QueryExecModeSimpleProtocol)
	return err
}

// literal is text as SQL has it. Statements about roles take no parameters.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// makeShare makes the views anew, and lets the role read them.
func makeShare(ctx context.Context, tx pgx.Tx, s Schema) error {
	name, role := schema.ShareName(s.name), ShareRole(s)
	for _, sql := range []string{
		"DROP SCHEMA IF EXISTS " + name + " CASCADE",
		"CREATE SCHEMA " + name,
		schema.Share(s.name),
		fmt.Sprintf("REVOKE ALL ON SCHEMA %[1]s FROM PUBLIC; GRANT USAGE ON SCHEMA %[1]s TO %[2]s; GRANT SELECT ON ALL TABLES IN SCHEMA %[1]s TO %[2]s", name, role),
	} {
		if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}

// Shared tells whether a tenant's owner has a login.
func (d *DB) Shared(ctx context.Context, s Schema) (there bool, err error) {
	at, err := d.serverOf(s)
	if err != nil {
		return false, err
	}
	err = runner{pool: at.admin}.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", schema.ShareName(s.name)).Scan(&there)
	return there, err
}

// Unshare takes the views and the role away, and ends the role's connections. What is not there is no error.
func (d *DB) Unshare(ctx context.Context, s Schema) error {
	if s.IsZero() {
		return ErrNoSchema
	}
	at, err := d.serverOf(s)
	if err != nil {
		return err
	}
	err = transact(ctx, at.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema.ShareName(s.name)+" CASCADE"); err != nil {
			return err
		}
		if err := endRole(ctx, tx, ShareRole(s)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DROP ROLE IF EXISTS "+ShareRole(s))
		return err
	})
	if err != nil {
		return fmt.Errorf("unshare %s: %w", s, err)
	}
	return nil
}

func endRole(ctx context.Context, tx pgx.Tx, role string) error {
	_, err := tx.Exec(ctx, "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = $1", role)
	return err
}

// dropShare takes away what is left of a login when its tenant's schema goes. A role that reads something in another
// database of the same server stays: that is where the tenant is now.
func (d *DB) dropShare(ctx context.Context, s Schema) error {
	err := d.Unshare(ctx, s)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "2BP01" {
		return nil
	}
	return err
}

// unsharedWhile takes the views away while a schema is migrated, because a table that a view reads cannot be changed, and
// makes them anew. The role stays.
func (d *DB) unsharedWhile(ctx context.Context, at *server, s Schema, work func() error) error {
	there, err := d.Shared(ctx, s)
	if err != nil || !there {
		return errors.Join(err, work())
	}
	err = transact(ctx, at.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// The schema stays: it says that there is a login.
		_, err := tx.Exec(ctx, "DROP SCHEMA "+schema.ShareName(s.name)+" CASCADE; CREATE SCHEMA "+schema.ShareName(s.name), pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil {
		return fmt.Errorf("take the views of %s away: %w", s, err)
	}
	workErr := work()
	err = transact(ctx, at.admin, pgx.TxOptions{}, func(tx pgx.Tx) error { return makeShare(ctx, tx, s) })
	if err != nil {
		return errors.Join(workErr, fmt.Errorf("make the views of %s anew: %w", s, err))
	}
	return workErr
}

// sharedEvery is how often statements of owners' logins are looked at.
const sharedEvery = 30 * time.Second

// RunShared ends statements of owners' logins that take too long, until the context ends.
func (d *DB) RunShared(ctx context.Context) error {
	tick := time.NewTicker(sharedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n, err := d.EndLongShared(ctx)
		if err != nil && ctx.Err() == nil && !IsUnavailable(err) {
			d.log.Warn("long statements of owners' logins cannot be ended", "err", err)
		}
		if n > 0 {
			d.log.Warn("ended statements of owners' logins that took too long", "statements", n)
		}
	}
}

// EndLongShared ends statements of owners' logins that take longer than they may: a login can set its own time-out anew.
// It gives how many.
func (d *DB) EndLongShared(ctx context.Context) (ended int64, err error) {
	return d.endShared(ctx, 2*ShareStatementTime)
}

func (d *DB) endShared(ctx context.Context, after time.Duration) (ended int64, err error) {
	for _, at := range d.fleet.Load().servers {
		tag, execErr := runner{pool: at.admin}.Exec(ctx, `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE usename LIKE 'locus\_sql\_t\_%' AND state <> 'idle' AND query_start < clock_timestamp() - make_interval(secs => $1)`, after.Seconds())
		err = errors.Join(err, execErr)
		ended += tag.RowsAffected()
	}
	return ended, err
}

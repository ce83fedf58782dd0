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

// shareRole is the role of a tenant's owner in Postgres. Roles are the whole server's, so the database is in its name:
// otherwise two deployments on one server would change each other's passwords.
func shareRole(database string, s Schema) string {
	name := fmt.Sprintf("locus_sql_%08x_%s", hashOf(database), s.name)
	if len(name) > longestName {
		name = fmt.Sprintf("ls%08x_%s", hashOf(database), s.name)
	}
	return name
}

// shareRoleBefore is the name that versions gave it which had no database in it. Such a login works until its next
// password, with which it gets its new name.
func shareRoleBefore(s Schema) string { return "locus_" + schema.ShareName(s.name) }

// sharing is what a tenant's login is called, and what there is of it.
type sharing struct {
	role    string // what it is called, or would be
	there   bool
	before  string // the role of the old name; "": there is none
	borders bool   // another database of the server has rights for before, so it may be another deployment's
}

func sharingOf(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, s Schema) (out sharing, err error) {
	var database string
	if err := q.QueryRow(ctx, "SELECT current_database()::text").Scan(&database); err != nil {
		return out, err
	}
	out.role, out.before = shareRole(database, s), shareRoleBefore(s)
	var old bool
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1), EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $2),
EXISTS (SELECT FROM pg_catalog.pg_shdepend p JOIN pg_catalog.pg_roles r ON r.oid = p.refobjid AND p.refclassid = 'pg_catalog.pg_authid'::regclass
  WHERE r.rolname = $2 AND p.dbid <> 0 AND p.dbid <> (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))`, out.role, out.before).Scan(&out.there, &old, &out.borders)
	if !old {
		out.before = ""
	}
	return out, err
}

// now is the role that reads the views at the moment.
func (s sharing) now() string {
	if !s.there && s.before != "" {
		return s.before
	}
	return s.role
}

// Share makes the views that a tenant's owner reads, and the role that reads them and nothing else, with a new password.
// It gives the role's name. Errors: [ErrNoRoles].
func (d *DB) Share(ctx context.Context, s Schema, password string) (role string, err error) {
	if s.IsZero() {
		return "", ErrNoSchema
	}
	at, err := d.serverOf(s)
	if err != nil {
		return "", err
	}
	err = transact(ctx, at.local(), pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := at.alone(ctx, tx); err != nil {
			return err
		}
		of, err := sharingOf(ctx, tx, s)
		if err != nil {
			return err
		}
		role = of.role
		if err := makeRole(ctx, tx, s, of, password); err != nil {
			return err
		}
		return makeShare(ctx, tx, at, s)
	})
	if err != nil {
		return "", fmt.Errorf("share %s: %w", s, roleError(err))
	}
	return role, nil
}

func makeRole(ctx context.Context, tx pgx.Tx, s Schema, of sharing, password string) error {
	verb := "CREATE"
	switch {
	case of.there:
		verb = "ALTER"
	case of.before != "" && !of.borders:
		if _, err := tx.Exec(ctx, "ALTER ROLE "+of.before+" RENAME TO "+of.role); err != nil {
			return err
		}
		verb = "ALTER"
	}
	role := of.role
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
func makeShare(ctx context.Context, tx pgx.Tx, at *server, s Schema) error {
	of, err := sharingOf(ctx, tx, s)
	if err != nil {
		return err
	}
	name, role := schema.ShareName(s.name), of.now()
	views, err := at.views(ctx, tx, s)
	if err != nil {
		return err
	}
	for _, sql := range []string{
		"DROP SCHEMA IF EXISTS " + name + " CASCADE",
		"CREATE SCHEMA " + name,
		views,
		fmt.Sprintf("REVOKE ALL ON SCHEMA %[1]s FROM PUBLIC; GRANT USAGE ON SCHEMA %[1]s TO %[2]s; GRANT SELECT ON ALL TABLES IN SCHEMA %[1]s TO %[2]s", name, role),
	} {
		if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}

// Shared gives the role of a tenant's owner; there: it can sign in. Otherwise it is the name that it would have.
func (d *DB) Shared(ctx context.Context, s Schema) (role string, there bool, err error) {
	at, err := d.serverOf(s)
	if err != nil {
		return "", false, err
	}
	run := runner{pool: at.local()}
	of, err := sharingOf(ctx, run, s)
	if err != nil {
		return "", false, fmt.Errorf("login of %s: %w", s, err)
	}
	err = run.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", schema.ShareName(s.name)).Scan(&there)
	if !there {
		return of.role, false, err
	}
	return of.now(), there, err
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
	err = transact(ctx, at.local(), pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := at.alone(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema.ShareName(s.name)+" CASCADE"); err != nil {
			return err
		}
		of, err := sharingOf(ctx, tx, s)
		if err != nil {
			return err
		}
		for _, role := range []string{of.role, of.before} {
			if role == "" || role == of.before && of.borders {
				continue // another deployment's
			}
			if err := endRole(ctx, tx, role); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "DROP ROLE IF EXISTS "+role); err != nil {
				return err
			}
		}
		return nil
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
	_, there, err := d.Shared(ctx, s)
	if err != nil || !there {
		return errors.Join(err, work())
	}
	err = transact(ctx, at.local(), pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := at.alone(ctx, tx); err != nil {
			return err
		}
		// The schema stays: it says that there is a login.
		_, err := tx.Exec(ctx, "DROP SCHEMA "+schema.ShareName(s.name)+" CASCADE; CREATE SCHEMA "+schema.ShareName(s.name), pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil {
		return fmt.Errorf("take the views of %s away: %w", s, err)
	}
	workErr := work()
	return errors.Join(workErr, d.reshare(ctx, at, s))
}

func (d *DB) reshare(ctx context.Context, at *server, s Schema) error {
	err := transact(ctx, at.local(), pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := at.alone(ctx, tx); err != nil {
			return err
		}
		return makeShare(ctx, tx, at, s)
	})
	if err != nil {
		return fmt.Errorf("make the views of %s anew: %w", s, err)
	}
	return nil
}

// shareAgain makes the views of a tenant that has a login and no views: [DB.unsharedWhile] did not get to its end.
func (d *DB) shareAgain(ctx context.Context, at *server, s Schema) error {
	var lacks bool
	err := runner{pool: at.local()}.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = $1
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid))`, schema.ShareName(s.name)).Scan(&lacks)
	if err != nil {
		return fmt.Errorf("views of %s: %w", s, err)
	}
	if !lacks {
		return nil
	}
	return d.reshare(ctx, at, s)
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
		tag, execErr := runner{pool: at.local()}.Exec(ctx, `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE (usename LIKE 'locus\_sql\_%' OR usename ~ '^ls[0-9a-f]{8}_') AND datname = current_database() AND state <> 'idle' AND query_start < clock_timestamp() - make_interval(secs => $1)`, after.Seconds())
		err = errors.Join(err, execErr)
		ended += tag.RowsAffected()
	}
	return ended, err
}

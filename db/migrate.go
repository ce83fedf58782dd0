package db

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

var (
	// ErrSchemaExists means that the schema to be created is there already.
	ErrSchemaExists = errors.New("schema exists")
	// ErrSchemaMissing means that the schema to be migrated is not there.
	ErrSchemaMissing = errors.New("schema does not exist")
	// ErrTooNew refuses a schema that a newer version of the program has migrated.
	ErrTooNew = errors.New("schema is newer than this program")
)

// LatestTenantVersion is the version of a tenant's schema with all migrations of this program.
func LatestTenantVersion() (int64, error) { return latest(schema.TenantMigrations()) }

// LatestControlVersion is the same of the control schema.
func LatestControlVersion() (int64, error) { return latest(schema.ControlMigrations()) }

func latest(m []schema.Migration, err error) (int64, error) { return int64(len(m)), err }

// MigrateControl brings the control schema, made first if it is missing, to this program's version. Many nodes may do
// so at once.
func (d *DB) MigrateControl(ctx context.Context) error {
	want, err := LatestControlVersion()
	if err != nil {
		return err
	}
	if have, err := d.version(ctx, d.home, schema.ControlName); err != nil || have >= want {
		return newerThan(schema.ControlName, have, want, err)
	}
	migrations, err := schema.ControlMigrations()
	if err != nil {
		return err
	}
	_, err = d.locked(ctx, d.home, schema.ControlName, false, func() error {
		have, err := d.version(ctx, d.home, schema.ControlName)
		if err != nil {
			return err
		}
		if err := d.alone(ctx, d.home, have, migrations, knownControl); err != nil {
			return err
		}
		if err := d.ensureSchema(ctx, d.home, schema.ControlName); err != nil {
			return err
		}
		return d.up(ctx, d.home, schema.ControlName, schema.Control())
	})
	return err
}

// CheckControl refuses a control schema that a newer version of the program has migrated. Errors: [ErrTooNew].
func (d *DB) CheckControl(ctx context.Context) error {
	want, err := LatestControlVersion()
	if err != nil {
		return err
	}
	have, err := d.version(ctx, d.home, schema.ControlName)
	return newerThan(schema.ControlName, have, want, err)
}

// CreateTenantSchema makes a tenant's schema with everything in it: all migrations as one script in one transaction. A
// schema that is there already is ErrSchemaExists and stays as it is, unless it is empty ([DB.NameSchemas]).
//
// The version is noted in the tenant's row in control, if it has one.
func (d *DB) CreateTenantSchema(ctx context.Context, s Schema) error {
	latest, err := LatestTenantVersion()
	if err != nil {
		return err
	}
	return d.CreateTenantSchemaAt(ctx, s, latest)
}

// CreateTenantSchemaAt is CreateTenantSchema with the migrations up to a version only: for rows that an older program
// wrote, which the further migrations then bring to what this one wants ([DB.MigrateTenant]). Errors: also [ErrTooNew].
func (d *DB) CreateTenantSchemaAt(ctx context.Context, s Schema, version int64) error {
	if s.IsZero() {
		return ErrNoSchema
	}
	migrations, err := schema.TenantMigrations()
	if err != nil {
		return err
	}
	if err := newerThan(s.name, version, int64(len(migrations)), nil); err != nil {
		return err
	}
	if version < 1 {
		return fmt.Errorf("create schema %s: there is no version %d", s, version)
	}
	migrations = migrations[:version]
	at := d.at(s)
	if at.worker != "" { // it may be called otherwise by now
		if err := d.LearnNodes(ctx); err != nil && !IsUnavailable(err) {
			return err
		}
	}
	if err := d.script(ctx, at, migrations, s); err != nil {
		if errors.Is(err, ErrSchemaExists) && at.worker != "" { // made by a process that died before it was placed
			if err := d.place(ctx, s, at.address()); err != nil {
				return fmt.Errorf("place schema %s: %w", s, err)
			}
		}
		return err
	}
	if at.worker != "" {
		if err := d.place(ctx, s, at.address()); err != nil {
			return fmt.Errorf("place schema %s: %w", s, err)
		}
	}
	return d.noteVersion(ctx, s, int64(len(migrations)))
}

// script makes a schema in one transaction.
func (d *DB) script(ctx context.Context, at *server, migrations []schema.Migration, s Schema) error {
	conn, err := acquire(ctx, at.admin, writes)
	if err != nil {
		return err
	}
	defer conn.Release()
	if err := d.runScript(ctx, conn, at, migrations, s); err != nil {
		return err
	}
	if err := confirmed(conn.Conn()); err != nil {
		return fmt.Errorf("create schema %s: %w", s, err)
	}
	return nil
}

func (d *DB) runScript(ctx context.Context, conn *lease, at *server, migrations []schema.Migration, s Schema) error {
	roles, err := d.roleText(ctx, conn.Conn(), s, func(role string) string { return grant(role, s) })
	if err != nil {
		return fmt.Errorf("create schema %s: %w", s, classify(err))
	}
	script := schema.Script(s.name, migrations) + roles
	switch {
	case at.worker != "":
		script = sharded(s, script)
		d.aim(ctx, at.address())
	case at == d.home:
		script = unsharded + script
	}
	if _, err = conn.Conn().PgConn().Exec(ctx, script).ReadAll(); err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "23505") { // it has the first table; the same, or the schema, in a race
			return fmt.Errorf("create %s: %w", s, ErrSchemaExists)
		}
		return fmt.Errorf("create schema %s: %w", s, roleError(outcome("script", err)))
	}
	return nil
}

// DropTenantSchema deletes a tenant's schema and everything in it. One that is missing is no error.
func (d *DB) DropTenantSchema(ctx context.Context, s Schema) error {
	if s.IsZero() {
		return ErrNoSchema
	}
	if err := d.dropShare(ctx, s); err != nil {
		return err
	}
	// Those who still read some of its tables take theirs in another order.
	if err := repeated(ctx, func() error { return d.dropSchema(ctx, s) }); err != nil {
		return err
	}
	d.Forget(s)
	return nil
}

func (d *DB) dropSchema(ctx context.Context, s Schema) error {
	conn, err := acquire(ctx, d.at(s).admin, writes)
	if err != nil {
		return err
	}
	defer conn.Release()
	roles, err := d.roleText(ctx, conn.Conn(), s, ungrant)
	if err != nil {
		return fmt.Errorf("drop schema %s: %w", s, classify(err))
	}
	if _, err := conn.Conn().PgConn().Exec(ctx, "DROP SCHEMA IF EXISTS "+s.name+" CASCADE;"+roles).ReadAll(); err != nil {
		return fmt.Errorf("drop schema %s: %w", s, roleError(outcome("script", err)))
	}
	if err := confirmed(conn.Conn()); err != nil {
		return fmt.Errorf("drop schema %s: %w", s, err)
	}
	return nil
}

// MigrateTenant brings one tenant's schema to this program's version, and notes it in control.
func (d *DB) MigrateTenant(ctx context.Context, s Schema) error {
	_, err := d.migrateTenant(ctx, s, false)
	return err
}

// migrateTenant is MigrateTenant. With try it leaves a tenant alone that another node works on: done is false then.
func (d *DB) migrateTenant(ctx context.Context, s Schema, try bool) (done bool, err error) {
	if s.IsZero() {
		return false, ErrNoSchema
	}
	migrations, err := schema.TenantMigrations()
	if err != nil {
		return false, err
	}
	want := int64(len(migrations))
	at, err := d.serverOf(s)
	if err != nil {
		return false, err
	}
	return d.locked(ctx, at, s.name, try, func() error {
		have, err := d.version(ctx, at, s.name)
		switch {
		case err != nil:
			return err
		case have < 0:
			return fmt.Errorf("migrate %s: %w", s, ErrSchemaMissing)
		case have > want:
			return errors.Join(newerThan(s.name, have, want, nil), d.noteVersion(ctx, s, have))
		case have < want:
			if err := d.alone(ctx, at, have, migrations, knownTenant); err != nil {
				return err
			}
			upErr := d.unsharedWhile(ctx, at, s, func() error { return d.up(ctx, at, s.name, at.migrations(s)) })
			// Also when it stopped half way: control knows how far.
			if have, err = d.version(ctx, at, s.name); err != nil {
				return errors.Join(upErr, err)
			}
			return errors.Join(upErr, d.noteVersion(ctx, s, have))
		}
		// A process that died in the middle may have left the owner's login without views.
		return errors.Join(d.shareAgain(ctx, at, s), d.noteVersion(ctx, s, have))
	})
}

func newerThan(name string, have, want int64, err error) error {
	if err == nil && have > want {
		return fmt.Errorf("%w: %s is at version %d, this program knows %d", ErrTooNew, name, have, want)
	}
	return err
}

func (d *DB) noteVersion(ctx context.Context, s Schema, version int64) error {
	return d.ControlTx(ctx, func(q *controldb.Queries) error { // which is done again when another one's change was in the way
		return d.NoteVersion(ctx, q, s.name, version)
	})
}

// NoteVersion tells control which migrations a schema has, and what programs must know to work on it.
func (d *DB) NoteVersion(ctx context.Context, q *controldb.Queries, schemaName string, version int64) error {
	migrations, err := schema.TenantMigrations()
	if err != nil {
		return err
	}
	// What a newer version needs its own program has noted.
	needs := schema.LastAlone(migrations[:min(version, int64(len(migrations)))])
	_, err = q.UpdateTenantVersion(ctx, controldb.UpdateTenantVersionParams{Version: version, Needs: needs, SchemaName: schemaName})
	if err != nil {
		return fmt.Errorf("note the version of %s: %w", schemaName, err)
	}
	return nil
}

// version is the version a schema is at: -1 when it is missing, or made but never migrated.
func (d *DB) version(ctx context.Context, at *server, name string) (version int64, err error) {
	r := runner{pool: at.admin}
	var there bool
	err = r.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)",
		name, schema.VersionTable).Scan(&there)
	if err == nil && !there {
		return -1, nil
	}
	if err == nil {
		err = r.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+name+"."+schema.VersionTable).Scan(&version)
	}
	if err != nil {
		return 0, fmt.Errorf("version of %s: %w", name, err)
	}
	return version, nil
}

// locked runs work while holding the lock of a schema's migrations. The lock spares nodes that start at once the
// trouble of failing; correctness does not rest on it (an advisory lock does not cross Citus nodes): each migration
// inserts its version, a primary key, in its own transaction, so of two runs one is taken back whole.
func (d *DB) locked(ctx context.Context, at *server, name string, try bool, work func() error) (done bool, err error) {
	select {
	case d.migrating <- struct{}{}:
		defer func() { <-d.migrating }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	h := fnv.New64a()
	h.Write([]byte("locus migrate " + name))
	key := int64(h.Sum64())
	// A transaction's lock also works through PgBouncer, and ends with the connection.
	err = transact(ctx, at.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		done = false
		if _, err := tx.Exec(ctx, unhurried); err != nil {
			return err
		}
		if try {
			var got bool
			if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", key).Scan(&got); err != nil || !got {
				return err
			}
		} else if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", key); err != nil {
			return err
		}
		done = true
		return work()
	})
	return done, classify(err)
}

// ensureSchema makes a schema and its version table, if they are missing.
func (d *DB) ensureSchema(ctx context.Context, at *server, name string) error {
	return transact(ctx, at.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// A Citus coordinator would make it a tenant of its own.
		var citus bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')").Scan(&citus)
		if err != nil {
			return err
		}
		if citus {
			if _, err := tx.Exec(ctx, "SET LOCAL citus.enable_schema_based_sharding = off"); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+name); err != nil {
			return err
		}
		var there bool
		err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)",
			name, schema.VersionTable).Scan(&there)
		if err != nil || there {
			return err
		}
		if _, err := tx.Exec(ctx, schema.CreateVersionTable(name)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO "+name+"."+schema.VersionTable+" (version_id) VALUES (0)")
		return err
	})
}

// up runs the missing migrations of one schema.
func (d *DB) up(ctx context.Context, at *server, name string, files fs.FS) error {
	return d.withGoose(at, name, files, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

func (d *DB) withGoose(at *server, name string, files fs.FS, work func(*goose.Provider) error) error {
	conns := stdlib.OpenDBFromPool(at.admin.Pool)
	defer conns.Close()
	p, err := goose.NewProvider(database.DialectCustom, conns, files, goose.WithStore(versionStore{name}),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", name, err)
	}
	if err := work(p); err != nil {
		return fmt.Errorf("migrate %s: %w", name, classify(err))
	}
	return nil
}

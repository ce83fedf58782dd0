package db

import (
	"context"
	"io/fs"
	"time"
	"unsafe"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/schema"
	"github.com/pressly/goose/v3"
)

// RawTenant is what the generated statements run on: tests use it for SQL that has no generated method.
func RawTenant(q *tenantdb.Queries) tenantdb.DBTX { return *(*tenantdb.DBTX)(unsafe.Pointer(q)) }

// RawControl is the same of the control schema.
func RawControl(q *controldb.Queries) controldb.DBTX { return *(*controldb.DBTX)(unsafe.Pointer(q)) }

// EmptySchema makes a schema that no migration has run in.
func (d *DB) EmptySchema(ctx context.Context, s Schema) error {
	return d.ensureSchema(ctx, d.home, s.name)
}

// Down takes all migrations of a schema back.
func (d *DB) Down(ctx context.Context, name string, files fs.FS) error {
	return d.withGoose(d.home, name, files, func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, 0)
		return err
	})
}

// To brings a schema to a version, up or down.
func (d *DB) To(ctx context.Context, name string, files fs.FS, version int64) error {
	return d.withGoose(d.home, name, files, func(p *goose.Provider) error {
		have, err := p.GetDBVersion(ctx)
		if err == nil && have < version {
			_, err = p.UpTo(ctx, version)
		} else if err == nil {
			_, err = p.DownTo(ctx, version)
		}
		return err
	})
}

// Version is the version a schema says it is at.
func (d *DB) Version(ctx context.Context, name string) (int64, error) {
	return d.version(ctx, d.home, name)
}

// Runs is what runs statements.
type Runs = tenantdb.DBTX

// Sleep keeps a connection for a while.
func Sleep(ctx context.Context, on Runs, d time.Duration) error {
	_, err := on.Exec(ctx, "SELECT pg_sleep($1) FROM (SELECT 1 FROM pds_tenant.stream_head) x", d.Seconds())
	return err
}

// Remigrate takes a tenant's newest migration back and makes it again.
func (d *DB) Remigrate(ctx context.Context, s Schema) error {
	at := d.at(s)
	return d.unsharedWhile(ctx, at, s, func() error { // the views are of the newest version
		err := d.withGoose(at, s.name, at.migrations(s), func(p *goose.Provider) error {
			_, err := p.Down(ctx)
			return err
		})
		if err != nil {
			return err
		}
		return d.MigrateTenant(ctx, s)
	})
}

// EndShared ends statements of owners' logins that run for longer.
func (d *DB) EndShared(ctx context.Context, after time.Duration) (int64, error) {
	return d.endShared(ctx, after)
}

// Alone is what keeps a tenant's migrations from programs that cannot work beside them.
func (d *DB) Alone(ctx context.Context, have int64, migrations []schema.Migration) error {
	return d.alone(ctx, d.home, have, migrations, knownTenant)
}

// ShareRole is the role of a tenant's owner in a database.
var ShareRole = shareRole

// ShareRoleBefore is its name of older versions.
var ShareRoleBefore = shareRoleBefore

// Scoped is a statement as it is sent for a tenant.
func Scoped(d *DB, s Schema, sql string) (string, error) { return d.Tenant(s).scope(sql) }

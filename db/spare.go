package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

const (
	// mostSpares is how many schemas are made in one transaction at most.
	mostSpares = 32
	// locksOfSchema is about how many locks making one takes, which are kept until all are there.
	locksOfSchema = 90
)

// SchemasAtOnce is how many schemas [DB.CreateSpareSchemas] may make at once in a database: with a quarter of the locks that
// there is room for.
func (d *DB) SchemasAtOnce(ctx context.Context, node int32) (int, error) {
	at, err := d.serverOf(Schema{}.On(node))
	if err != nil {
		return 0, err
	}
	var locks int
	err = runner{pool: at.admin}.QueryRow(ctx, `SELECT current_setting('max_locks_per_transaction')::int
		* (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)`).Scan(&locks)
	if err != nil {
		return 0, fmt.Errorf("how many locks there may be: %w", err)
	}
	return max(1, min(mostSpares, locks/4/locksOfSchema)), nil
}

// CreateSpareSchemas is CreateTenantSchema of several in one database and one transaction, because each transaction that
// makes a schema costs all connections the plans of all of their tenants. After each it rests for as many times as long as
// it took. Of those that are there already it makes sure that they have this program's migrations.
func (d *DB) CreateSpareSchemas(ctx context.Context, list []Schema, rest int) error {
	migrations, err := schema.TenantMigrations()
	if err != nil || len(list) == 0 {
		return err
	}
	at, err := d.serverOf(list[0])
	if err != nil {
		return err
	}
	if at.worker == "" { // Citus makes each a tenant of its own
		if err := d.scripts(ctx, at, migrations, list, rest); !errors.Is(err, ErrSchemaExists) {
			return err
		}
	}
	for _, s := range list {
		err := d.CreateTenantSchema(ctx, s)
		if errors.Is(err, ErrSchemaExists) {
			err = d.MigrateTenant(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scripts makes all schemas or none.
func (d *DB) scripts(ctx context.Context, at *server, migrations []schema.Migration, list []Schema, rest int) error {
	conn, tx, err := begin(ctx, at.admin, pgx.TxOptions{})
	if err != nil {
		return err
	}
	defer conn.Release()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit it does nothing; if it fails the connection is closed
	}()
	for _, s := range list {
		began := time.Now()
		if err := d.runScript(ctx, conn, at, migrations, s); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(rest) * time.Since(began)):
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("create %d schemas: %w", len(list), outcome("commit", err))
	}
	return confirmed(conn.Conn())
}

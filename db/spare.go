package db

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/schema"
)

// NameSchemas makes schemas of one database with nothing in them, in one transaction; those that are there stay as they
// are. A new schema has all connections plan their statements anew, for all of their tenants; tables that are made in
// it later only have it look through them. So names are made in advance, as many as one likes. In a Citus cluster it does
// nothing: there each schema is made with its tables.
func (d *DB) NameSchemas(ctx context.Context, list []Schema) error {
	if len(list) == 0 {
		return nil
	}
	at, err := d.serverOf(list[0])
	if err != nil || at.worker != "" {
		return err
	}
	var script strings.Builder
	if at == d.home {
		script.WriteString(unsharded)
	}
	for _, s := range list {
		script.WriteString(schema.Create(s.name))
	}
	conn, err := acquire(ctx, at.admin, writes)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Conn().PgConn().Exec(ctx, script.String()).ReadAll(); err != nil {
		return fmt.Errorf("make %d empty schemas: %w", len(list), outcome("script", err))
	}
	return confirmed(conn.Conn())
}

// CreateSpareSchema is CreateTenantSchema of a schema that may be there already, and then has this program's migrations
// afterwards.
func (d *DB) CreateSpareSchema(ctx context.Context, s Schema) error {
	err := d.CreateTenantSchema(ctx, s)
	if errors.Is(err, ErrSchemaExists) {
		return d.MigrateTenant(ctx, s)
	}
	return err
}

package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/schema"
)

// catchUp is the least time between two schemas that are made one after the other. Connections that do nothing are woken to
// take in what changed in the catalogue; one that is further behind than 4,096 changes, about two schemas, forgets all it
// knows.
const catchUp = 50 * time.Millisecond

// NameSchemas makes schemas of one database with nothing in them, in one transaction; those that are there stay as they
// are. A new schema has all connections plan their statements anew, for all of their tenants, and tables that are made in
// it later do not. So names are made in advance, as many as one likes. In a Citus cluster it does nothing: there each
// schema is made with its tables.
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

// CreateSpareSchemas is CreateTenantSchema of several, of which made is told. After each it rests for as many times as long as
// it took. Of those that are there already it makes sure that they have this program's migrations.
func (d *DB) CreateSpareSchemas(ctx context.Context, list []Schema, rest int, made func(Schema) error) error {
	for _, s := range list {
		began := time.Now()
		err := d.CreateTenantSchema(ctx, s)
		if errors.Is(err, ErrSchemaExists) {
			err = d.MigrateTenant(ctx, s)
		}
		if err == nil {
			err = made(s)
		}
		if err != nil {
			return err
		}
		if rest == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(catchUp, time.Duration(rest)*time.Since(began))):
		}
	}
	return nil
}

package db

import (
	"context"
	"regexp"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// An owner's login reads views with the rights of who made them. Citus takes a view apart and reads the tables with the
// rights of who asks, so on a worker the views are of the tables that Citus keeps the rows in, made there and nowhere else.

// local is the pool for what is of this server alone, also on a worker.
func (s *server) local() *pool {
	if s.worker != "" {
		return s.background
	}
	return s.admin
}

// alone keeps Citus from telling the other servers what the transaction does.
func (s *server) alone(ctx context.Context, tx pgx.Tx) error {
	if s.worker == "" {
		return nil
	}
	if err := do(ctx, tx, "SET LOCAL citus.enable_ddl_propagation = off"); err != nil {
		return err
	}
	return do(ctx, tx, "SET LOCAL citus.enable_schema_based_sharding = off")
}

// views are the statements that make an owner's views of a schema on the server.
func (s *server) views(ctx context.Context, tx pgx.Tx, of Schema) (string, error) {
	text := schema.Share(of.name)
	if s.worker == "" {
		return text, nil
	}
	rows, err := tx.Query(ctx, `SELECT c.relname::text, h.shardid::text FROM pg_catalog.pg_dist_shard h
		JOIN pg_catalog.pg_class c ON c.oid = h.logicalrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1`, of.name)
	if err != nil {
		return "", classify(err)
	}
	names := map[string]string{}
	var table, shard string
	if _, err := pgx.ForEachRow(rows, []any{&table, &shard}, func() error {
		names[table] = pgx.Identifier{of.name, table + "_" + shard}.Sanitize()
		return nil
	}); err != nil {
		return "", classify(err)
	}
	return regexp.MustCompile(`\b`+of.name+`\.(\w+)`).ReplaceAllStringFunc(text, func(found string) string {
		if name, ok := names[found[len(of.name)+1:]]; ok {
			return name
		}
		return found
	}), nil
}

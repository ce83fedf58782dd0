package db

import (
	"context"
	"database/sql"
	"errors"

	"github.com/auroralocus/locus/schema"
	"github.com/pressly/goose/v3/database"
)

// versionStore is goose's store on our version table.
type versionStore struct{ schema string }

func (s versionStore) Tablename() string { return s.schema + "." + schema.VersionTable }

func (s versionStore) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, schema.CreateVersionTable(s.schema))
	return err
}

func (s versionStore) TableExists(ctx context.Context, db database.DBTxConn) (there bool, err error) {
	err = db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)",
		s.schema, schema.VersionTable).Scan(&there)
	return there, err
}

func (s versionStore) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	_, err := db.ExecContext(ctx, "INSERT INTO "+s.Tablename()+" (version_id) VALUES ($1)", req.Version)
	return err
}

func (s versionStore) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	_, err := db.ExecContext(ctx, "DELETE FROM "+s.Tablename()+" WHERE version_id = $1", version)
	return err
}

func (s versionStore) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	r := database.GetMigrationResult{IsApplied: true}
	err := db.QueryRowContext(ctx, "SELECT applied_at FROM "+s.Tablename()+" WHERE version_id = $1", version).Scan(&r.Timestamp)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, database.ErrVersionNotFound
	}
	return &r, err
}

func (s versionStore) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var v sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+s.Tablename()).Scan(&v)
	if err == nil && !v.Valid {
		err = database.ErrVersionNotFound
	}
	return v.Int64, err
}

func (s versionStore) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, "SELECT version_id FROM "+s.Tablename()+" ORDER BY version_id DESC")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*database.ListMigrationsResult
	for rows.Next() {
		r := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&r.Version); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

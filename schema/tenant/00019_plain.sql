-- +goose Up
-- locus: space
-- What these tables hold is bounded far below a page (names, references and commits are checked where they come in), so
-- nothing is ever moved out of their rows: stored plain they need no TOAST table. Postgres drops that only when it writes
-- the table anew, as for a new type of a column. A big table is not worth the wait: it keeps the empty one.
ALTER TABLE pds_tenant.chore ALTER COLUMN name SET STORAGE PLAIN, ALTER COLUMN next_at TYPE timestamptz USING next_at + interval '0';
ALTER TABLE pds_tenant.actor
  ALTER COLUMN did SET STORAGE PLAIN,
  ALTER COLUMN handle SET STORAGE PLAIN,
  ALTER COLUMN takedown_ref SET STORAGE PLAIN,
  ALTER COLUMN head_cid SET STORAGE PLAIN,
  ALTER COLUMN head_commit SET STORAGE PLAIN;
-- +goose StatementBegin
DO $$
BEGIN
  IF pg_catalog.pg_relation_size('pds_tenant.actor') < 16 * 1024 * 1024 THEN
    ALTER TABLE pds_tenant.actor ALTER COLUMN commit_records TYPE int USING commit_records + 0;
  END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- Postgres makes the TOAST tables by itself.
ALTER TABLE pds_tenant.actor
  ALTER COLUMN did SET STORAGE EXTENDED,
  ALTER COLUMN handle SET STORAGE EXTENDED,
  ALTER COLUMN takedown_ref SET STORAGE EXTENDED,
  ALTER COLUMN head_cid SET STORAGE EXTENDED,
  ALTER COLUMN head_commit SET STORAGE EXTENDED;
ALTER TABLE pds_tenant.chore ALTER COLUMN name SET STORAGE EXTENDED;

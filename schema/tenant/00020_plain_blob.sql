-- +goose Up
-- locus: space
-- As actor and chore before it: a blob's type, its name in the store and what a moderator notes are bounded, all together at
-- half a page, so that no TOAST table is of use. A big table keeps its empty one rather than be written anew.
ALTER TABLE pds_tenant.blob
  ALTER COLUMN cid SET STORAGE PLAIN,
  ALTER COLUMN mime_type SET STORAGE PLAIN,
  ALTER COLUMN object SET STORAGE PLAIN,
  ALTER COLUMN takedown_ref SET STORAGE PLAIN;
-- +goose StatementBegin
DO $$
BEGIN
  IF pg_catalog.pg_relation_size('pds_tenant.blob') < 16 * 1024 * 1024 THEN
    ALTER TABLE pds_tenant.blob ALTER COLUMN size TYPE bigint USING size + 0;
  END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- Postgres makes the TOAST table by itself.
ALTER TABLE pds_tenant.blob
  ALTER COLUMN cid SET STORAGE EXTENDED,
  ALTER COLUMN mime_type SET STORAGE EXTENDED,
  ALTER COLUMN object SET STORAGE EXTENDED,
  ALTER COLUMN takedown_ref SET STORAGE EXTENDED;

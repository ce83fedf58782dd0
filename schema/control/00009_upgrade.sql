-- +goose Up
ALTER TABLE control.tenant ADD COLUMN needs bigint NOT NULL DEFAULT 0; -- the version that programs must know to work on its schema
ALTER TABLE control.tenant ADD COLUMN upgrade_error text NOT NULL DEFAULT ''; -- why its last migration failed

-- +goose Down
ALTER TABLE control.tenant DROP COLUMN upgrade_error;
ALTER TABLE control.tenant DROP COLUMN needs;

-- +goose Up
-- Schemas that are made before anybody wants them. Making one tells each connection to Postgres that the catalogue changed, and
-- each then plans its statements anew, for all of its tenants; several made at once tell that once. The next tenant in
-- this database gets the number and the schema of a spare, and the row goes in the transaction that inserts its tenant.
CREATE TABLE control.spare (
  tenant_id   bigint PRIMARY KEY,             -- taken from the counter, as a tenant's
  node_id     integer NOT NULL,
  version     bigint NOT NULL,                -- of the schema. 0: somebody makes it now; -1: somebody drops it
  begun_at    timestamptz NOT NULL            -- when that began
);

-- +goose Down
DROP TABLE control.spare;

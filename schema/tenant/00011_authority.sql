-- +goose Up
-- What an account's records take, kept by the statement that moves its head: null until they were counted once. commit_*
-- is what the newest commit added, for the tenant's sum in stream_head. Limits of its own: null is the tenant's setting, 0
-- none; whoever changes one of these from outside a commit counts limits_version up, and processes look again.
ALTER TABLE pds_tenant.actor ADD COLUMN record_count bigint, ADD COLUMN record_bytes bigint;
ALTER TABLE pds_tenant.actor
  ADD COLUMN commit_records int NOT NULL DEFAULT 0,
  ADD COLUMN commit_bytes bigint NOT NULL DEFAULT 0,
  ADD COLUMN max_records bigint,
  ADD COLUMN max_record_bytes bigint,
  ADD COLUMN limits_version int NOT NULL DEFAULT 0,
  ALTER COLUMN record_count SET DEFAULT 0,
  ALTER COLUMN record_bytes SET DEFAULT 0;
-- The sum of all accounts that were counted.
ALTER TABLE pds_tenant.stream_head ADD COLUMN records bigint NOT NULL DEFAULT 0, ADD COLUMN record_bytes bigint NOT NULL DEFAULT 0;
-- Accounts that are older than these columns. A job counts them, one by one: no table is read here.
CREATE TABLE pds_tenant.uncounted (aid bigint PRIMARY KEY);
INSERT INTO pds_tenant.uncounted (aid) SELECT a.aid FROM pds_tenant.actor a;

-- Names under which no account of this tenant gets a handle any more: handle domains that it gave up, and names that went
-- to another tenant. Who sets a handle holds the row, who gives a name away changes it and then looks for handles.
CREATE TABLE pds_tenant.handle_guard (
  id          smallint PRIMARY KEY CHECK (id = 1),
  lost        text[] NOT NULL DEFAULT '{}'
);
INSERT INTO pds_tenant.handle_guard (id) VALUES (1);

-- +goose Down
DROP TABLE pds_tenant.handle_guard;
DROP TABLE pds_tenant.uncounted;
ALTER TABLE pds_tenant.stream_head DROP COLUMN record_bytes, DROP COLUMN records;
ALTER TABLE pds_tenant.actor DROP COLUMN limits_version, DROP COLUMN max_record_bytes, DROP COLUMN max_records,
  DROP COLUMN commit_bytes, DROP COLUMN commit_records, DROP COLUMN record_bytes, DROP COLUMN record_count;

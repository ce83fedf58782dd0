-- +goose Up
-- The master keys that anything is sealed under, or was. The keys themselves are with the processes; here is who they are
-- and what they are for. 'revision' rises with every change: processes read these rows again when it has.
CREATE TABLE control.master_key (
  key_id       smallint PRIMARY KEY CHECK (key_id BETWEEN 1 AND 255), -- as in what is sealed, and in the configuration
  fingerprint  text COLLATE "C" NOT NULL,  -- derived from the key: two keys of one number are told apart by it
  state        smallint NOT NULL,          -- 1 announced, 2 seals, 3 opens what it sealed, 4 refused
  revision     bigint NOT NULL,
  added_at     timestamptz NOT NULL,
  seals_since  timestamptz,
  refused_at   timestamptz,
  copy_proved_at timestamptz,              -- when a copy of it that lies elsewhere last opened everything it had sealed
  copy_proved_by text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX master_key_seals ON control.master_key (state) WHERE state = 2;
INSERT INTO control.counter (name, value) VALUES ('master_key', 0);

-- What each process that serves says of its keys. Null: it is of an older version and says nothing.
ALTER TABLE control.process ADD COLUMN keys text[] COLLATE "C"; -- fingerprints of those that it has
ALTER TABLE control.process ADD COLUMN key_revision bigint;     -- of the rows of master_key that it goes by

-- When an archive of a tenant was last restored on trial, whole, and when such a trial last failed.
CREATE TABLE control.tenant_proof (
  tenant_id  bigint PRIMARY KEY REFERENCES control.tenant ON DELETE CASCADE,
  proved_at  timestamptz,                  -- null: not yet
  archive    text NOT NULL DEFAULT '',     -- that proved it: its file, or its name in the store of backups
  made_at    timestamptz,                  -- when that archive was made: what came later is not in it
  encrypted  boolean NOT NULL DEFAULT false,
  proved_by  text NOT NULL DEFAULT '',
  failed_at  timestamptz,                  -- null: never, or not since it was proved
  problem    text NOT NULL DEFAULT ''      -- the first thing that was wrong then
);

-- The same of the deployment: a restored copy of its database, opened with a copy of its master key.
CREATE TABLE control.deployment_proof (
  id         int PRIMARY KEY CHECK (id = 1),
  proved_at  timestamptz,
  made_at    timestamptz,                  -- how old the copy was: the newest thing in it
  tenants    int NOT NULL DEFAULT 0,
  sealed     bigint NOT NULL DEFAULT 0,    -- values that were opened
  proved_by  text NOT NULL DEFAULT '',
  failed_at  timestamptz,
  problem    text NOT NULL DEFAULT ''
);

-- +goose Down
DROP TABLE control.deployment_proof;
DROP TABLE control.tenant_proof;
ALTER TABLE control.process DROP COLUMN key_revision;
ALTER TABLE control.process DROP COLUMN keys;
DELETE FROM control.counter WHERE name = 'master_key';
DROP TABLE control.master_key;

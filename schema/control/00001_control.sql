-- +goose Up
-- The schema itself is made by db before goose runs, because goose keeps its version table in it.
-- On Citus it must be made with citus.enable_schema_based_sharding off, or it becomes a tenant.

CREATE TABLE control.node (
  node_id     int PRIMARY KEY,
  dsn_ref     text NOT NULL,              -- key into the configuration, never a DSN: '' is the control database itself
  accepts_new boolean NOT NULL DEFAULT true
);
INSERT INTO control.node (node_id, dsn_ref) VALUES (1, '');

CREATE TABLE control.tenant (
  tenant_id   bigint PRIMARY KEY,
  hostname    text COLLATE "C" NOT NULL UNIQUE CHECK (hostname = lower(hostname)),
  schema_name text COLLATE "C" NOT NULL UNIQUE CHECK (schema_name ~ '^t_[a-z0-9_]{1,50}$'), -- the only source of identifiers put in SQL text
  service_did text COLLATE "C" NOT NULL,
  node_id     int NOT NULL REFERENCES control.node,
  state       smallint NOT NULL,          -- 0 provisioning, 1 active, 2 moving (read-only), 3 suspended, 4 deleting
  version     bigint NOT NULL DEFAULT 0,  -- goose version its schema is at: the migrator's work list
  settings    jsonb NOT NULL DEFAULT '{}',
  revision    bigint NOT NULL,            -- grows with every change of any tenant row: processes poll for what is newer
  created_at  timestamptz NOT NULL
);
CREATE INDEX tenant_version ON control.tenant (version, tenant_id);
CREATE INDEX tenant_revision ON control.tenant (revision);

-- Every name that leads to a tenant: its hostname (kind 1) and its handle domains (kind 2, without the leading dot).
CREATE TABLE control.hostname (
  hostname    text COLLATE "C" PRIMARY KEY CHECK (hostname = lower(hostname)),
  tenant_id   bigint NOT NULL REFERENCES control.tenant ON DELETE CASCADE,
  kind        smallint NOT NULL
);
CREATE INDEX hostname_tenant ON control.hostname (tenant_id);

-- Numbers taken by UPDATE … RETURNING rather than from sequences: Citus workers count sequences from k<<48.
CREATE TABLE control.counter (
  name        text PRIMARY KEY,           -- 'tenant_id', 'revision', 'plc_seq'
  value       bigint NOT NULL
);
INSERT INTO control.counter (name, value) VALUES ('tenant_id', 0), ('revision', 0), ('plc_seq', 0);

-- The built-in PLC directory of dev mode.
CREATE TABLE control.plc_operation (
  did         text COLLATE "C" NOT NULL,
  cid         text COLLATE "C" NOT NULL,
  seq         bigint NOT NULL UNIQUE,
  operation   jsonb NOT NULL,
  nullified   boolean NOT NULL DEFAULT false,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (did, cid)
);
CREATE INDEX plc_operation_created ON control.plc_operation (created_at, seq);

-- +goose Down
DROP TABLE control.plc_operation;
DROP TABLE control.counter;
DROP TABLE control.hostname;
DROP TABLE control.tenant;
DROP TABLE control.node;

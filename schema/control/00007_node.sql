-- +goose Up
-- A database carries its node's label: a URL that leads elsewhere is refused, before a tenant is looked for there.
ALTER TABLE control.node ADD COLUMN label text COLLATE "C" NOT NULL DEFAULT ''; -- '': the control database itself
ALTER TABLE control.node ADD COLUMN worker text COLLATE "C" NOT NULL DEFAULT ''; -- of a Citus cluster, as 'host:port' in its catalogue: tables are made by its coordinator, the control database
CREATE UNIQUE INDEX node_dsn_ref ON control.node (dsn_ref);

-- A tenant on its way to another database. The row goes when the tenant is there, or when it stays.
CREATE TABLE control.tenant_move (
  tenant_id   bigint PRIMARY KEY REFERENCES control.tenant ON DELETE CASCADE,
  move_id     text COLLATE "C" NOT NULL,  -- the copy carries it, too
  source      int NOT NULL REFERENCES control.node,
  target      int NOT NULL REFERENCES control.node,
  started_at  timestamptz NOT NULL
);

-- Schemas that nobody reads any more, such as the copy that a tenant has left behind, and when they go.
CREATE TABLE control.leftover (
  node_id     int NOT NULL REFERENCES control.node,
  schema_name text COLLATE "C" NOT NULL CHECK (schema_name ~ '^t_[a-z0-9_]{1,50}$'),
  tenant_id   bigint NOT NULL,
  drop_at     timestamptz NOT NULL,
  PRIMARY KEY (node_id, schema_name)
);
CREATE INDEX leftover_drop ON control.leftover (drop_at);

-- +goose Down
DROP TABLE control.leftover;
DROP TABLE control.tenant_move;
DROP INDEX control.node_dsn_ref;
ALTER TABLE control.node DROP COLUMN worker;
ALTER TABLE control.node DROP COLUMN label;

-- +goose Up
-- Where blobs lie. The location is disk:/folder, data: (the data folder's) or s3://bucket/prefix?…; a row per place that
-- was ever used, so every blob says where it is while a tenant's blobs move.
CREATE TABLE pds_tenant.blob_store (
  store       smallint PRIMARY KEY,
  location    text COLLATE "C" NOT NULL UNIQUE,
  sealed      bytea,                      -- credentials of its own; null: the deployment's
  created_at  timestamptz NOT NULL
);

-- A blob that an account has: its bytes are in the store, whole and durable, before the row is. What refers to blobs and
-- which are there changes under the lock of the actor's row only.
CREATE TABLE pds_tenant.blob (
  aid          bigint NOT NULL,
  cid          bytea NOT NULL,
  mime_type    text NOT NULL,
  size         bigint NOT NULL,
  temporary    boolean NOT NULL,          -- no record refers to it: it goes some hours after created_at
  store        smallint NOT NULL,
  object       text COLLATE "C" NOT NULL, -- its name in the store, which is never given again: deletions cannot hit a newer upload
  takedown_ref text,
  created_at   timestamptz NOT NULL,      -- or uploaded again
  PRIMARY KEY (aid, cid)
);
CREATE INDEX blob_temporary ON pds_tenant.blob (created_at) WHERE temporary;

-- What records refer to; a blob may be missing while an account is moving here.
CREATE TABLE pds_tenant.record_blob (
  aid         bigint NOT NULL,
  cid         bytea NOT NULL,
  path        text COLLATE "C" NOT NULL,
  rev         bigint NOT NULL,            -- of the record
  mime_type   text NOT NULL,              -- as the record says
  PRIMARY KEY (aid, cid, path)
);
CREATE INDEX record_blob_path ON pds_tenant.record_blob (aid, path);

-- Objects to delete from their store. An upload to a store elsewhere is announced here as well, far ahead, and taken out
-- together with the blob's row going in: what a crash leaves behind is deleted in time.
CREATE TABLE pds_tenant.blob_trash (
  store       smallint NOT NULL,
  object      text COLLATE "C" NOT NULL,
  due_at      timestamptz NOT NULL,
  attempts    int NOT NULL DEFAULT 0,     -- above 0: somebody may have deleted it
  last_error  text NOT NULL DEFAULT '',
  PRIMARY KEY (store, object)
);
CREATE INDEX blob_trash_due ON pds_tenant.blob_trash (due_at);

-- What an account's blobs take, kept in the transactions that change it.
CREATE TABLE pds_tenant.blob_usage (
  aid         bigint PRIMARY KEY,
  blobs       bigint NOT NULL DEFAULT 0,
  bytes       bigint NOT NULL DEFAULT 0,
  max_bytes   bigint                      -- null: the tenant's setting; 0: no limit
) WITH (fillfactor = 60);

-- +goose Down
DROP TABLE pds_tenant.blob_usage;
DROP TABLE pds_tenant.blob_trash;
DROP TABLE pds_tenant.record_blob;
DROP TABLE pds_tenant.blob;
DROP TABLE pds_tenant.blob_store;

-- +goose Up
-- pds_tenant is a token: no such schema exists in production; db puts the tenant's own schema in its place.
-- Times, aids and sequence numbers always come as parameters or from stream_head (Citus; replay).

-- The tenant's sealed secrets: 'jwt' (HS256 key), 'plc_rotation' (K-256 private key), 'dpop'.
CREATE TABLE pds_tenant.secret (
  purpose     text COLLATE "C" PRIMARY KEY,
  sealed      bytea NOT NULL,
  public      text NOT NULL DEFAULT '',   -- did:key of an asymmetric secret
  created_at  timestamptz NOT NULL
);

-- The one hot row: firehose order and aid allocation.
CREATE TABLE pds_tenant.stream_head (
  id          smallint PRIMARY KEY CHECK (id = 1),
  last_seq    bigint NOT NULL,
  next_aid    bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO pds_tenant.stream_head (id, last_seq, next_aid) VALUES (1, 0, 1);

CREATE TABLE pds_tenant.actor (
  aid            bigint PRIMARY KEY,      -- from stream_head.next_aid
  did            text COLLATE "C" NOT NULL UNIQUE,
  handle         text COLLATE "C" UNIQUE, -- lower case; null: handle.invalid
  creating_since timestamptz,             -- not null: sign-up has not finished, nobody sees the account
  deactivated_at timestamptz,
  delete_after   timestamptz,
  takedown_ref   text,
  head_cid       bytea,                   -- binary CIDs (36 bytes) throughout
  head_rev       bigint NOT NULL DEFAULT 0, -- TID as its 63-bit integer: same order as the text
  head_commit    bytea,                   -- the signed commit block: only the newest is ever needed
  created_at     timestamptz NOT NULL
) WITH (fillfactor = 60);                 -- head updates stay HOT: nothing indexes head_*

CREATE TABLE pds_tenant.signing_key (
  aid         bigint PRIMARY KEY REFERENCES pds_tenant.actor,
  sealed      bytea NOT NULL,
  public      text NOT NULL,              -- did:key
  created_at  timestamptz NOT NULL
);

CREATE TABLE pds_tenant.account (
  aid                bigint PRIMARY KEY REFERENCES pds_tenant.actor,
  email              text COLLATE "C" UNIQUE,  -- lower case
  password_hash      text,                     -- PHC string; null: no password
  email_confirmed_at timestamptz,
  invites_disabled   boolean NOT NULL DEFAULT false,
  invite_code        text COLLATE "C",         -- the code it signed up with
  created_at         timestamptz NOT NULL
);

CREATE TABLE pds_tenant.refresh_token (
  token_id          text COLLATE "C" PRIMARY KEY, -- the jti
  aid               bigint NOT NULL REFERENCES pds_tenant.actor,
  expires_at        timestamptz NOT NULL,
  next_id           text COLLATE "C",         -- set at first use: every reuse within the grace gets this one
  app_password_name text,
  created_at        timestamptz NOT NULL
);
CREATE INDEX refresh_token_aid ON pds_tenant.refresh_token (aid);
CREATE INDEX refresh_token_expires ON pds_tenant.refresh_token (expires_at);

CREATE TABLE pds_tenant.invite_code (
  code         text COLLATE "C" PRIMARY KEY,
  uses_total   int NOT NULL,
  uses_left    int NOT NULL CHECK (uses_left >= 0),
  disabled     boolean NOT NULL DEFAULT false,
  for_account  text NOT NULL,                 -- a DID or 'admin'
  created_by   text NOT NULL,
  created_at   timestamptz NOT NULL
);
CREATE TABLE pds_tenant.invite_code_use (
  code        text COLLATE "C" NOT NULL REFERENCES pds_tenant.invite_code,
  aid         bigint NOT NULL,
  used_at     timestamptz NOT NULL,
  PRIMARY KEY (code, aid)
);

-- Tree nodes by position: the level and the key a node hangs after ('' on the left edge). docs/storage.md has the measurements.
CREATE TABLE pds_tenant.mst_node (
  aid         bigint NOT NULL,
  level       smallint NOT NULL,
  after       text COLLATE "C" NOT NULL,
  rev         bigint NOT NULL,
  cid         bytea NOT NULL,
  content     bytea NOT NULL,
  PRIMARY KEY (aid, level, after)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

-- The record's block lives in its row. path is "collection/rkey": its byte order is tree order, which (collection, rkey) order is not.
CREATE TABLE pds_tenant.record (
  aid          bigint NOT NULL,
  path         text COLLATE "C" NOT NULL,
  rev          bigint NOT NULL,
  cid          bytea NOT NULL,
  value        bytea NOT NULL,
  indexed_at   timestamptz NOT NULL,
  takedown_ref text,
  PRIMARY KEY (aid, path)
);

-- What follows, likes, reposts and blocks point at: duplicates are removed by it.
CREATE TABLE pds_tenant.backlink (
  aid         bigint NOT NULL,
  path        text COLLATE "C" NOT NULL,
  link_to     text COLLATE "C" NOT NULL,      -- the subject: a DID or at:// URI
  PRIMARY KEY (aid, path)
);
CREATE INDEX backlink_to ON pds_tenant.backlink (aid, link_to, path);

CREATE TABLE pds_tenant.repo_event (
  seq          bigint PRIMARY KEY,            -- = stream_head.last_seq, taken under its row lock
  aid          bigint NOT NULL,
  kind         smallint NOT NULL,             -- 1 commit, 2 sync, 3 identity, 4 account
  sequenced_at timestamptz NOT NULL,
  rev          bigint NOT NULL DEFAULT 0,     -- of commit and sync events
  seq_off      int NOT NULL,                  -- where the seq integer is spliced into payload while streaming
  payload      bytea NOT NULL                 -- the DAG-CBOR frame (header and body) without the value of seq
);
CREATE INDEX repo_event_aid ON pds_tenant.repo_event (aid, seq);
CREATE INDEX repo_event_time ON pds_tenant.repo_event USING brin (sequenced_at);

-- +goose Down
DROP TABLE pds_tenant.repo_event;
DROP TABLE pds_tenant.backlink;
DROP TABLE pds_tenant.record;
DROP TABLE pds_tenant.mst_node;
DROP TABLE pds_tenant.invite_code_use;
DROP TABLE pds_tenant.invite_code;
DROP TABLE pds_tenant.refresh_token;
DROP TABLE pds_tenant.account;
DROP TABLE pds_tenant.signing_key;
DROP TABLE pds_tenant.actor;
DROP TABLE pds_tenant.stream_head;
DROP TABLE pds_tenant.secret;

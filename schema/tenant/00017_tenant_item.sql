-- The rare tables of a tenant become one. A relation costs its files, its catalogue rows and a place in every connection's
-- cache, for each tenant again, and most of these tables have a few rows or none.
--
-- What a column says depends on the kind. Those that are not named are not used:
--
--   kind                 key             due_at       lookup         others
--    1 secret            purpose                                     secret: sealed; value: did:key of an asymmetric one
--    2 handle guard      ''                                          value: names under which nobody gets a handle, one a line
--    3 invite code       code            created_at   for whom       number: uses in all; tries: uses left; flags: 1 disabled; label: created by
--    4 use of a code     code, 0, aid                 aid            aid; used_at; label: the code
--    5 mail to send      mail id         due          aid            aid; label: recipient; secret: sealed; flags: state; tries: attempts;
--                                                                    note: last error; used_at: worthless after
--    6 mail that is done                                             the same
--    9 operator          name                                        flags: role; label: created by
--   10 operator's token  SHA-256         expires      operator       value: its id; label; used_at
--   11 store of blobs    number                       location (*)   number; value: location; secret: sealed credentials
--   12 blob's trash      store, object   due                         number: store; tries: attempts; note: last error
--   13 service token     digest          expires                     it was used for what may happen once
--   14 reserved key      did:key         expires      its DID (*)    secret: sealed; label: network; value: address
--   15 device            id              expires                     secret: session; info: the one before; used_at: rotated; label: agent; value: address
--   16 OAuth request     id              expires      code (*)       label: client id; value: parameters; note: client's key; info: device;
--                                                                    aid: who granted it; extra: granted
--   17 line of the log   id, rises                                   created_at; label: who; flags: role; value: action; note: subject;
--                        with time                                   extra: detail; info: address, request id and outcome, a JSON list
--
-- (*) One row only has it. Stores are numbered by two bytes, accounts by eight, both with the high byte first.

-- +goose Up
-- locus: alone
CREATE TABLE pds_tenant.tenant_item (
  number      bigint NOT NULL DEFAULT 0,
  aid         bigint NOT NULL DEFAULT 0,
  created_at  timestamptz NOT NULL DEFAULT 'epoch',
  due_at      timestamptz,
  used_at     timestamptz,
  tries       int NOT NULL DEFAULT 0,
  kind        smallint NOT NULL,
  flags       smallint NOT NULL DEFAULT 0,
  key         bytea NOT NULL,
  lookup      bytea,
  secret      bytea,
  info        bytea,
  label       text COLLATE "C" NOT NULL DEFAULT '',
  value       text COLLATE "C" NOT NULL DEFAULT '',
  note        text COLLATE "C" NOT NULL DEFAULT '',
  extra       text COLLATE "C" NOT NULL DEFAULT '',
  PRIMARY KEY (kind, key)
) WITH (fillfactor = 80);
CREATE INDEX tenant_item_due ON pds_tenant.tenant_item (kind, due_at, key) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX tenant_item_lookup ON pds_tenant.tenant_item (kind, lookup,
  (CASE WHEN kind IN (11, 14, 16) THEN ''::bytea ELSE key END)) WHERE lookup IS NOT NULL;

INSERT INTO pds_tenant.tenant_item (kind, key, secret, value, created_at)
SELECT 1, convert_to(purpose, 'UTF8'), sealed, public, created_at FROM pds_tenant.secret;
INSERT INTO pds_tenant.tenant_item (kind, key, value) SELECT 2, '', array_to_string(lost, E'\n') FROM pds_tenant.handle_guard;
INSERT INTO pds_tenant.tenant_item (kind, key, number, tries, flags, lookup, label, created_at, due_at)
SELECT 3, convert_to(code, 'UTF8'), uses_total, uses_left, disabled::int, convert_to(for_account, 'UTF8'), created_by, created_at, created_at
FROM pds_tenant.invite_code;
INSERT INTO pds_tenant.tenant_item (kind, key, lookup, aid, label, used_at)
SELECT 4, convert_to(code, 'UTF8') || '\x00'::bytea || int8send(aid), int8send(aid), aid, code, used_at FROM pds_tenant.invite_code_use;
INSERT INTO pds_tenant.tenant_item (kind, key, due_at, lookup, aid, label, secret, flags, tries, note, created_at, used_at)
SELECT CASE WHEN state < 3 THEN 5 ELSE 6 END, convert_to(mail_id, 'UTF8'), due_at, int8send(aid), aid, recipient, sealed, state, attempts,
  last_error, created_at, expires_at
FROM pds_tenant.mail;
INSERT INTO pds_tenant.tenant_item (kind, key, flags, label, created_at)
SELECT 9, convert_to(name, 'UTF8'), role, created_by, created_at FROM pds_tenant.operator;
INSERT INTO pds_tenant.tenant_item (kind, key, due_at, lookup, value, label, created_at, used_at)
SELECT 10, token_hash, expires_at, convert_to(name, 'UTF8'), token_id, label, created_at, last_used_at FROM pds_tenant.operator_token;
INSERT INTO pds_tenant.tenant_item (kind, key, lookup, number, value, secret, created_at)
SELECT 11, int2send(store), convert_to(location, 'UTF8'), store, location, sealed, created_at FROM pds_tenant.blob_store;
INSERT INTO pds_tenant.tenant_item (kind, key, due_at, number, tries, note)
SELECT 12, int2send(store) || convert_to(object, 'UTF8'), due_at, store, attempts, last_error FROM pds_tenant.blob_trash;
INSERT INTO pds_tenant.tenant_item (kind, key, due_at) SELECT 13, digest, expires_at FROM pds_tenant.service_nonce;
INSERT INTO pds_tenant.tenant_item (kind, key, due_at, lookup, secret, label, value, created_at)
SELECT 14, convert_to(public, 'UTF8'), expires_at, convert_to(did, 'UTF8'), sealed, network, address, created_at FROM pds_tenant.reserved_key;
INSERT INTO pds_tenant.tenant_item (kind, key, due_at, secret, info, used_at, created_at, label, value)
SELECT 15, id, expires_at, session, former, rotated_at, created_at, agent, address FROM pds_tenant.device;
INSERT INTO pds_tenant.tenant_item (kind, key, due_at, lookup, label, value, note, info, aid, extra, created_at)
SELECT 16, id, expires_at, code, client_id, params, client_key, device, aid, granted, created_at FROM pds_tenant.oauth_request;
INSERT INTO pds_tenant.tenant_item (kind, key, created_at, label, flags, value, note, extra, info)
SELECT 17, convert_to(audit_id, 'UTF8'), at, who, role, action, subject, detail, convert_to(jsonb_build_array(address, request_id, outcome)::text, 'UTF8')
FROM pds_tenant.audit;
DROP TABLE pds_tenant.audit, pds_tenant.secret, pds_tenant.handle_guard, pds_tenant.invite_code_use, pds_tenant.invite_code, pds_tenant.mail,
  pds_tenant.operator_token, pds_tenant.operator, pds_tenant.blob_store, pds_tenant.blob_trash, pds_tenant.service_nonce,
  pds_tenant.reserved_key, pds_tenant.device, pds_tenant.oauth_request;

-- What is counted for a while: calls by rate limits (ends_at is the window's end, in unix seconds), and, in the bucket '',
-- refused sign-ins in a row (ends_at 0, last_at). Texts that are stored plain need no TOAST table, and an index takes
-- none above 2,700 bytes anyway. (The table is made without them, so that it does not get one.)
CREATE TABLE pds_tenant.tally (
  ends_at     bigint NOT NULL,
  points      bigint NOT NULL,
  last_at     timestamptz
) WITH (fillfactor = 60);
ALTER TABLE pds_tenant.tally
  ADD COLUMN bucket text COLLATE "C" NOT NULL, ALTER COLUMN bucket SET STORAGE PLAIN,
  ADD COLUMN key text COLLATE "C" NOT NULL, ALTER COLUMN key SET STORAGE PLAIN;
ALTER TABLE pds_tenant.tally ADD PRIMARY KEY (bucket, key, ends_at);
CREATE INDEX tally_end ON pds_tenant.tally (ends_at) WHERE ends_at > 0;
INSERT INTO pds_tenant.tally (bucket, key, ends_at, points) SELECT bucket, key, ends_at, points FROM pds_tenant.limit_count;
INSERT INTO pds_tenant.tally (bucket, key, ends_at, points, last_at) SELECT '', key, 0, failures, last_at FROM pds_tenant.signin_failure;
DROP TABLE pds_tenant.limit_count, pds_tenant.signin_failure;

-- Proofs by a key of fixed size, the sixteen bytes that there were as bytea.
ALTER TABLE pds_tenant.oauth_proof RENAME TO oauth_proof_before;
CREATE UNLOGGED TABLE pds_tenant.oauth_proof_now (
  digest      uuid CONSTRAINT oauth_proof_key PRIMARY KEY,
  expires_at  bigint NOT NULL -- seconds
);
INSERT INTO pds_tenant.oauth_proof_now (digest, expires_at) SELECT encode(digest, 'hex')::uuid, expires_at FROM pds_tenant.oauth_proof_before;
DROP TABLE pds_tenant.oauth_proof_before;
ALTER TABLE pds_tenant.oauth_proof_now RENAME TO oauth_proof;
ALTER TABLE pds_tenant.oauth_proof RENAME CONSTRAINT oauth_proof_key TO oauth_proof_pkey;

-- The one hot row, without a TOAST table.
ALTER TABLE pds_tenant.stream_head RENAME TO stream_head_before;
CREATE TABLE pds_tenant.stream_head_now (
  id           smallint CONSTRAINT stream_head_key PRIMARY KEY CONSTRAINT stream_head_one CHECK (id = 1),
  last_seq     bigint NOT NULL,
  next_aid     bigint NOT NULL,
  last_us      bigint NOT NULL DEFAULT 0,
  jumped_from  bigint NOT NULL DEFAULT 0,
  jumped_to    bigint NOT NULL DEFAULT 0,
  records      bigint NOT NULL DEFAULT 0,
  record_bytes bigint NOT NULL DEFAULT 0,
  timeline     varchar(8) COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 10);
INSERT INTO pds_tenant.stream_head_now (id, last_seq, next_aid, last_us, jumped_from, jumped_to, records, record_bytes, timeline)
SELECT id, last_seq, next_aid, last_us, jumped_from, jumped_to, records, record_bytes, timeline FROM pds_tenant.stream_head_before;
DROP TABLE pds_tenant.stream_head_before;
ALTER TABLE pds_tenant.stream_head_now RENAME TO stream_head;
ALTER TABLE pds_tenant.stream_head RENAME CONSTRAINT stream_head_key TO stream_head_pkey;

-- What a follow, block, like or repost points at stands in the record's own row: one row and one index entry less for each.
ALTER TABLE pds_tenant.record ADD COLUMN link_to text COLLATE "C";
UPDATE pds_tenant.record r SET link_to = b.link_to FROM pds_tenant.backlink b WHERE r.aid = b.aid AND r.path = b.path;
CREATE INDEX record_link ON pds_tenant.record (aid, link_to, path) WHERE link_to IS NOT NULL;
DROP TABLE pds_tenant.backlink;

-- What records refer to, without a TOAST table. The longest type there can be has 255 bytes: what is longer says nothing.
ALTER TABLE pds_tenant.record_blob RENAME TO record_blob_before;
ALTER INDEX pds_tenant.record_blob_pkey RENAME TO record_blob_before_key;
ALTER INDEX pds_tenant.record_blob_path RENAME TO record_blob_before_path;
CREATE TABLE pds_tenant.record_blob (
  aid         bigint NOT NULL,
  rev         bigint NOT NULL             -- of the record
);
ALTER TABLE pds_tenant.record_blob
  ADD COLUMN cid bytea NOT NULL, ALTER COLUMN cid SET STORAGE PLAIN,
  ADD COLUMN path text COLLATE "C" NOT NULL, ALTER COLUMN path SET STORAGE PLAIN,
  ADD COLUMN mime_type text NOT NULL, ALTER COLUMN mime_type SET STORAGE PLAIN; -- as the record says
INSERT INTO pds_tenant.record_blob (aid, rev, cid, path, mime_type)
SELECT aid, rev, cid, path, CASE WHEN octet_length(mime_type) <= 255 THEN mime_type ELSE '' END FROM pds_tenant.record_blob_before;
DROP TABLE pds_tenant.record_blob_before;
ALTER TABLE pds_tenant.record_blob ADD PRIMARY KEY (aid, cid, path);
CREATE INDEX record_blob_path ON pds_tenant.record_blob (aid, path);

-- +goose Down
ALTER TABLE pds_tenant.record_blob RENAME TO record_blob_after;
ALTER INDEX pds_tenant.record_blob_pkey RENAME TO record_blob_after_key;
ALTER INDEX pds_tenant.record_blob_path RENAME TO record_blob_after_path;
CREATE TABLE pds_tenant.record_blob (
  aid         bigint NOT NULL,
  cid         bytea NOT NULL,
  path        text COLLATE "C" NOT NULL,
  rev         bigint NOT NULL,
  mime_type   text NOT NULL,
  PRIMARY KEY (aid, cid, path)
);
INSERT INTO pds_tenant.record_blob (aid, cid, path, rev, mime_type) SELECT aid, cid, path, rev, mime_type FROM pds_tenant.record_blob_after;
DROP TABLE pds_tenant.record_blob_after;
CREATE INDEX record_blob_path ON pds_tenant.record_blob (aid, path);

CREATE TABLE pds_tenant.backlink (
  aid         bigint NOT NULL,
  path        text COLLATE "C" NOT NULL,
  link_to     text COLLATE "C" NOT NULL,
  PRIMARY KEY (aid, path)
);
CREATE INDEX backlink_to ON pds_tenant.backlink (aid, link_to, path);
INSERT INTO pds_tenant.backlink (aid, path, link_to) SELECT aid, path, link_to FROM pds_tenant.record WHERE link_to IS NOT NULL;
DROP INDEX pds_tenant.record_link;
ALTER TABLE pds_tenant.record DROP COLUMN link_to;

ALTER TABLE pds_tenant.stream_head RENAME TO stream_head_before;
CREATE TABLE pds_tenant.stream_head_now (
  id           smallint CONSTRAINT stream_head_key PRIMARY KEY CONSTRAINT stream_head_id_check CHECK (id = 1),
  last_seq     bigint NOT NULL,
  next_aid     bigint NOT NULL,
  last_us      bigint NOT NULL DEFAULT 0,
  timeline     text COLLATE "C" NOT NULL DEFAULT '',
  jumped_from  bigint NOT NULL DEFAULT 0,
  jumped_to    bigint NOT NULL DEFAULT 0,
  records      bigint NOT NULL DEFAULT 0,
  record_bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO pds_tenant.stream_head_now (id, last_seq, next_aid, last_us, timeline, jumped_from, jumped_to, records, record_bytes)
SELECT id, last_seq, next_aid, last_us, timeline, jumped_from, jumped_to, records, record_bytes FROM pds_tenant.stream_head_before;
DROP TABLE pds_tenant.stream_head_before;
ALTER TABLE pds_tenant.stream_head_now RENAME TO stream_head;
ALTER TABLE pds_tenant.stream_head RENAME CONSTRAINT stream_head_key TO stream_head_pkey;

ALTER TABLE pds_tenant.oauth_proof RENAME TO oauth_proof_before;
CREATE UNLOGGED TABLE pds_tenant.oauth_proof_now (
  digest      bytea CONSTRAINT oauth_proof_key PRIMARY KEY,
  expires_at  bigint NOT NULL
);
INSERT INTO pds_tenant.oauth_proof_now (digest, expires_at) SELECT uuid_send(digest), expires_at FROM pds_tenant.oauth_proof_before;
DROP TABLE pds_tenant.oauth_proof_before;
ALTER TABLE pds_tenant.oauth_proof_now RENAME TO oauth_proof;
ALTER TABLE pds_tenant.oauth_proof RENAME CONSTRAINT oauth_proof_key TO oauth_proof_pkey;

CREATE TABLE pds_tenant.limit_count (
  bucket      text COLLATE "C" NOT NULL,
  key         text COLLATE "C" NOT NULL,
  ends_at     bigint NOT NULL,
  points      bigint NOT NULL,
  PRIMARY KEY (bucket, key, ends_at)
) WITH (fillfactor = 60);
CREATE INDEX limit_count_end ON pds_tenant.limit_count (ends_at);
CREATE TABLE pds_tenant.signin_failure (
  key         text COLLATE "C" PRIMARY KEY,
  failures    int NOT NULL,
  last_at     timestamptz NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX signin_failure_last ON pds_tenant.signin_failure (last_at);
INSERT INTO pds_tenant.limit_count (bucket, key, ends_at, points) SELECT bucket, key, ends_at, points FROM pds_tenant.tally WHERE ends_at > 0;
INSERT INTO pds_tenant.signin_failure (key, failures, last_at) SELECT key, points, last_at FROM pds_tenant.tally WHERE ends_at = 0;
DROP TABLE pds_tenant.tally;

CREATE TABLE pds_tenant.audit (
  audit_id    text COLLATE "C" PRIMARY KEY,
  at          timestamptz NOT NULL,
  who         text COLLATE "C" NOT NULL,
  role        smallint NOT NULL,
  action      text COLLATE "C" NOT NULL,
  subject     text COLLATE "C" NOT NULL,
  detail      text NOT NULL,
  address     text NOT NULL,
  request_id  text NOT NULL,
  outcome     text NOT NULL
);
CREATE TABLE pds_tenant.secret (
  purpose     text COLLATE "C" PRIMARY KEY,
  sealed      bytea NOT NULL,
  public      text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL
);
CREATE TABLE pds_tenant.handle_guard (
  id          smallint PRIMARY KEY CHECK (id = 1),
  lost        text[] NOT NULL DEFAULT '{}'
);
CREATE TABLE pds_tenant.invite_code (
  code         text COLLATE "C" PRIMARY KEY,
  uses_total   int NOT NULL,
  uses_left    int NOT NULL CHECK (uses_left >= 0),
  disabled     boolean NOT NULL DEFAULT false,
  for_account  text NOT NULL,
  created_by   text NOT NULL,
  created_at   timestamptz NOT NULL
);
CREATE TABLE pds_tenant.invite_code_use (
  code        text COLLATE "C" NOT NULL REFERENCES pds_tenant.invite_code,
  aid         bigint NOT NULL,
  used_at     timestamptz NOT NULL,
  PRIMARY KEY (code, aid)
);
CREATE TABLE pds_tenant.mail (
  mail_id     text COLLATE "C" PRIMARY KEY,
  aid         bigint NOT NULL,
  recipient   text NOT NULL,
  sealed      bytea NOT NULL,
  state       smallint NOT NULL,
  attempts    int NOT NULL,
  due_at      timestamptz NOT NULL,
  last_error  text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL
);
CREATE TABLE pds_tenant.operator (
  name        text COLLATE "C" PRIMARY KEY,
  role        smallint NOT NULL,
  created_by  text NOT NULL,
  created_at  timestamptz NOT NULL
);
CREATE TABLE pds_tenant.operator_token (
  token_hash   bytea PRIMARY KEY,
  token_id     text COLLATE "C" NOT NULL UNIQUE,
  name         text COLLATE "C" NOT NULL REFERENCES pds_tenant.operator ON DELETE CASCADE,
  label        text NOT NULL DEFAULT '',
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,
  last_used_at timestamptz
);
CREATE TABLE pds_tenant.blob_store (
  store       smallint PRIMARY KEY,
  location    text COLLATE "C" NOT NULL UNIQUE,
  sealed      bytea,
  created_at  timestamptz NOT NULL
);
CREATE TABLE pds_tenant.blob_trash (
  store       smallint NOT NULL,
  object      text COLLATE "C" NOT NULL,
  due_at      timestamptz NOT NULL,
  attempts    int NOT NULL DEFAULT 0,
  last_error  text NOT NULL DEFAULT '',
  PRIMARY KEY (store, object)
);
CREATE TABLE pds_tenant.service_nonce (
  digest      bytea PRIMARY KEY,
  expires_at  timestamptz NOT NULL
);
CREATE TABLE pds_tenant.reserved_key (
  public      text COLLATE "C" PRIMARY KEY,
  did         text COLLATE "C" UNIQUE,
  sealed      bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  network     text COLLATE "C" NOT NULL DEFAULT '',
  address     text COLLATE "C" NOT NULL DEFAULT ''
);
CREATE TABLE pds_tenant.device (
  id          bytea PRIMARY KEY,
  session     bytea NOT NULL,
  former      bytea,
  rotated_at  timestamptz NOT NULL,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  agent       text NOT NULL,
  address     text NOT NULL
);
CREATE TABLE pds_tenant.oauth_request (
  id          bytea PRIMARY KEY,
  client_id   text NOT NULL,
  params      text NOT NULL,
  client_key  text NOT NULL,
  device      bytea,
  aid         bigint NOT NULL DEFAULT 0,
  granted     text NOT NULL DEFAULT '',
  code        bytea UNIQUE,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL
);

INSERT INTO pds_tenant.audit (audit_id, at, who, role, action, subject, detail, address, request_id, outcome)
SELECT convert_from(key, 'UTF8'), created_at, label, flags, value, note, extra, convert_from(info, 'UTF8')::jsonb ->> 0,
  convert_from(info, 'UTF8')::jsonb ->> 1, convert_from(info, 'UTF8')::jsonb ->> 2
FROM pds_tenant.tenant_item WHERE kind = 17;
INSERT INTO pds_tenant.secret (purpose, sealed, public, created_at)
SELECT convert_from(key, 'UTF8'), secret, value, created_at FROM pds_tenant.tenant_item WHERE kind = 1;
INSERT INTO pds_tenant.handle_guard (id, lost) SELECT 1, string_to_array(value, E'\n') FROM pds_tenant.tenant_item WHERE kind = 2;
INSERT INTO pds_tenant.invite_code (code, uses_total, uses_left, disabled, for_account, created_by, created_at)
SELECT convert_from(key, 'UTF8'), number, tries, flags > 0, convert_from(lookup, 'UTF8'), label, created_at FROM pds_tenant.tenant_item WHERE kind = 3;
INSERT INTO pds_tenant.invite_code_use (code, aid, used_at) SELECT label, aid, used_at FROM pds_tenant.tenant_item WHERE kind = 4;
INSERT INTO pds_tenant.mail (mail_id, aid, recipient, sealed, state, attempts, due_at, last_error, created_at, expires_at)
SELECT convert_from(key, 'UTF8'), aid, label, secret, flags, tries, due_at, note, created_at, used_at FROM pds_tenant.tenant_item WHERE kind IN (5, 6);
INSERT INTO pds_tenant.operator (name, role, created_by, created_at)
SELECT convert_from(key, 'UTF8'), flags, label, created_at FROM pds_tenant.tenant_item WHERE kind = 9;
INSERT INTO pds_tenant.operator_token (token_hash, token_id, name, label, created_at, expires_at, last_used_at)
SELECT t.key, t.value, convert_from(t.lookup, 'UTF8'), t.label, t.created_at, t.due_at, t.used_at FROM pds_tenant.tenant_item t
JOIN pds_tenant.tenant_item o ON o.kind = 9 AND o.key = t.lookup WHERE t.kind = 10;
INSERT INTO pds_tenant.blob_store (store, location, sealed, created_at) SELECT number, value, secret, created_at FROM pds_tenant.tenant_item WHERE kind = 11;
INSERT INTO pds_tenant.blob_trash (store, object, due_at, attempts, last_error)
SELECT number, convert_from(substring(key FROM 3), 'UTF8'), due_at, tries, note FROM pds_tenant.tenant_item WHERE kind = 12;
INSERT INTO pds_tenant.service_nonce (digest, expires_at) SELECT key, due_at FROM pds_tenant.tenant_item WHERE kind = 13;
INSERT INTO pds_tenant.reserved_key (public, did, sealed, created_at, expires_at, network, address)
SELECT convert_from(key, 'UTF8'), convert_from(lookup, 'UTF8'), secret, created_at, due_at, label, value FROM pds_tenant.tenant_item WHERE kind = 14;
INSERT INTO pds_tenant.device (id, session, former, rotated_at, created_at, expires_at, agent, address)
SELECT key, secret, info, used_at, created_at, due_at, label, value FROM pds_tenant.tenant_item WHERE kind = 15;
INSERT INTO pds_tenant.oauth_request (id, client_id, params, client_key, device, aid, granted, code, created_at, expires_at)
SELECT key, label, value, note, info, aid, extra, lookup, created_at, due_at FROM pds_tenant.tenant_item WHERE kind = 16;
DROP TABLE pds_tenant.tenant_item;

CREATE INDEX audit_subject ON pds_tenant.audit (subject, audit_id);
CREATE INDEX invite_code_for ON pds_tenant.invite_code (for_account, created_at);
CREATE INDEX invite_code_created ON pds_tenant.invite_code (created_at, code);
CREATE INDEX invite_code_use_aid ON pds_tenant.invite_code_use (aid);
CREATE INDEX mail_due ON pds_tenant.mail (due_at) WHERE state < 3;
CREATE INDEX mail_done ON pds_tenant.mail (created_at) WHERE state >= 3;
CREATE INDEX mail_aid ON pds_tenant.mail (aid);
CREATE INDEX operator_token_name ON pds_tenant.operator_token (name);
CREATE INDEX blob_trash_due ON pds_tenant.blob_trash (due_at);
CREATE INDEX service_nonce_expires ON pds_tenant.service_nonce (expires_at);
CREATE INDEX reserved_key_expires ON pds_tenant.reserved_key (expires_at);
CREATE INDEX reserved_key_network ON pds_tenant.reserved_key (network, address);

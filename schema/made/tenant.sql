-- made from migrations d560ada836e7db8d94cc08cb81723e79
-- Made by internal/gen/sqlc.sh from schema/tenant. Do not edit.

CREATE TABLE pds_tenant.account (
  aid bigint NOT NULL,
  email text COLLATE "C",
  password_hash text,
  email_confirmed_at timestamp with time zone,
  invites_disabled boolean NOT NULL DEFAULT false,
  invite_code text COLLATE "C",
  created_at timestamp with time zone NOT NULL,
  invite_note text NOT NULL DEFAULT ''::text,
  email_factor boolean NOT NULL DEFAULT false,
  oauth_only boolean NOT NULL DEFAULT false,
  key_sealed bytea,
  key_public text,
  key_created_at timestamp with time zone,
  CONSTRAINT account_email_key UNIQUE (email),
  CONSTRAINT account_pkey PRIMARY KEY (aid)
);
CREATE TABLE pds_tenant.account_item (
  aid bigint NOT NULL,
  number bigint NOT NULL DEFAULT 0,
  created_at timestamp with time zone NOT NULL DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone,
  due_at timestamp with time zone,
  used_at timestamp with time zone,
  noted_at timestamp with time zone,
  kind smallint NOT NULL,
  flags smallint NOT NULL DEFAULT 0,
  key bytea NOT NULL DEFAULT '\x'::bytea,
  lookup bytea,
  secret bytea NOT NULL DEFAULT '\x'::bytea,
  info bytea NOT NULL DEFAULT '\x'::bytea,
  label text NOT NULL DEFAULT ''::text,
  value text NOT NULL DEFAULT ''::text,
  CONSTRAINT account_item_pkey PRIMARY KEY (aid, kind, key)
) WITH (fillfactor=80);
CREATE TABLE pds_tenant.actor (
  aid bigint NOT NULL
) WITH (fillfactor=60);
ALTER TABLE pds_tenant.actor
  ADD COLUMN did text COLLATE "C" NOT NULL,
  ALTER COLUMN did SET STORAGE PLAIN,
  ADD COLUMN handle text COLLATE "C",
  ALTER COLUMN handle SET STORAGE PLAIN,
  ADD COLUMN creating_since timestamp with time zone,
  ADD COLUMN deactivated_at timestamp with time zone,
  ADD COLUMN delete_after timestamp with time zone,
  ADD COLUMN takedown_ref text,
  ALTER COLUMN takedown_ref SET STORAGE PLAIN,
  ADD COLUMN head_cid bytea,
  ALTER COLUMN head_cid SET STORAGE PLAIN,
  ADD COLUMN head_rev bigint NOT NULL DEFAULT 0,
  ADD COLUMN head_commit bytea,
  ALTER COLUMN head_commit SET STORAGE PLAIN,
  ADD COLUMN created_at timestamp with time zone NOT NULL,
  ADD COLUMN unannounced boolean NOT NULL DEFAULT false,
  ADD COLUMN session_epoch bigint NOT NULL DEFAULT 0,
  ADD COLUMN app_epoch bigint NOT NULL DEFAULT 0,
  ADD COLUMN record_count bigint DEFAULT 0,
  ADD COLUMN record_bytes bigint DEFAULT 0,
  ADD COLUMN commit_records integer NOT NULL DEFAULT 0,
  ADD COLUMN commit_bytes bigint NOT NULL DEFAULT 0,
  ADD COLUMN max_records bigint,
  ADD COLUMN max_record_bytes bigint,
  ADD COLUMN limits_version integer NOT NULL DEFAULT 0,
  ADD CONSTRAINT actor_did_key UNIQUE (did),
  ADD CONSTRAINT actor_handle_key UNIQUE (handle),
  ADD CONSTRAINT actor_pkey PRIMARY KEY (aid);
CREATE TABLE pds_tenant.blob (
  aid bigint NOT NULL
);
ALTER TABLE pds_tenant.blob
  ADD COLUMN cid bytea NOT NULL,
  ALTER COLUMN cid SET STORAGE PLAIN,
  ADD COLUMN mime_type text NOT NULL,
  ALTER COLUMN mime_type SET STORAGE PLAIN,
  ADD COLUMN size bigint NOT NULL,
  ADD COLUMN temporary boolean NOT NULL,
  ADD COLUMN store smallint NOT NULL,
  ADD COLUMN object text COLLATE "C" NOT NULL,
  ALTER COLUMN object SET STORAGE PLAIN,
  ADD COLUMN takedown_ref text,
  ALTER COLUMN takedown_ref SET STORAGE PLAIN,
  ADD COLUMN created_at timestamp with time zone NOT NULL,
  ADD CONSTRAINT blob_pkey PRIMARY KEY (aid, cid);
CREATE TABLE pds_tenant.blob_usage (
  aid bigint NOT NULL,
  blobs bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  max_bytes bigint,
  CONSTRAINT blob_usage_pkey PRIMARY KEY (aid)
) WITH (fillfactor=60);
CREATE TABLE pds_tenant.chore (

);
ALTER TABLE pds_tenant.chore
  ADD COLUMN name text COLLATE "C" NOT NULL,
  ALTER COLUMN name SET STORAGE PLAIN,
  ADD COLUMN next_at timestamp with time zone NOT NULL,
  ADD CONSTRAINT chore_pkey PRIMARY KEY (name);
CREATE TABLE pds_tenant.mst_node (
  aid bigint NOT NULL,
  level smallint NOT NULL,
  after text COLLATE "C" NOT NULL,
  rev bigint NOT NULL,
  cid bytea NOT NULL,
  content bytea NOT NULL,
  CONSTRAINT mst_node_pkey PRIMARY KEY (aid, level, after)
) WITH (fillfactor=90, autovacuum_vacuum_scale_factor=0.02);
CREATE UNLOGGED TABLE pds_tenant.oauth_proof (
  digest uuid NOT NULL,
  expires_at bigint NOT NULL,
  CONSTRAINT oauth_proof_pkey PRIMARY KEY (digest)
);
CREATE TABLE pds_tenant.oauth_session (
  id bytea NOT NULL,
  aid bigint NOT NULL,
  epoch bigint NOT NULL,
  client_id text NOT NULL,
  client_name text NOT NULL,
  client_key text NOT NULL,
  jkt text NOT NULL,
  granted text NOT NULL,
  scope text NOT NULL,
  code bytea NOT NULL,
  device bytea,
  generation bigint NOT NULL,
  created_at timestamp with time zone NOT NULL,
  rotated_at timestamp with time zone NOT NULL,
  ends_at timestamp with time zone NOT NULL,
  expires_at timestamp with time zone NOT NULL,
  CONSTRAINT oauth_session_code_key UNIQUE (code),
  CONSTRAINT oauth_session_pkey PRIMARY KEY (id)
);
CREATE TABLE pds_tenant.record (
  aid bigint NOT NULL,
  path text COLLATE "C" NOT NULL,
  rev bigint NOT NULL,
  cid bytea NOT NULL,
  value bytea NOT NULL,
  indexed_at timestamp with time zone NOT NULL,
  takedown_ref text,
  link_to text COLLATE "C",
  CONSTRAINT record_pkey PRIMARY KEY (aid, path)
);
CREATE TABLE pds_tenant.record_blob (
  aid bigint NOT NULL,
  rev bigint NOT NULL
);
ALTER TABLE pds_tenant.record_blob
  ADD COLUMN cid bytea NOT NULL,
  ALTER COLUMN cid SET STORAGE PLAIN,
  ADD COLUMN path text COLLATE "C" NOT NULL,
  ALTER COLUMN path SET STORAGE PLAIN,
  ADD COLUMN mime_type text NOT NULL,
  ALTER COLUMN mime_type SET STORAGE PLAIN,
  ADD CONSTRAINT record_blob_pkey PRIMARY KEY (aid, cid, path);
CREATE TABLE pds_tenant.refresh_token (
  token_id character varying(64) COLLATE "C" NOT NULL,
  aid bigint NOT NULL,
  expires_at timestamp with time zone NOT NULL,
  next_id character varying(64) COLLATE "C",
  app_password_name character varying(256) COLLATE "C",
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT refresh_token_pkey PRIMARY KEY (token_id)
);
CREATE TABLE pds_tenant.repo_event (
  seq bigint NOT NULL,
  aid bigint NOT NULL,
  kind smallint NOT NULL,
  sequenced_at timestamp with time zone NOT NULL,
  rev bigint NOT NULL DEFAULT 0,
  seq_off integer NOT NULL,
  payload bytea NOT NULL,
  time_us bigint NOT NULL DEFAULT 0,
  CONSTRAINT repo_event_pkey PRIMARY KEY (seq)
);
CREATE TABLE pds_tenant.stream_head (
  id smallint NOT NULL,
  last_seq bigint NOT NULL,
  next_aid bigint NOT NULL,
  last_us bigint NOT NULL DEFAULT 0,
  jumped_from bigint NOT NULL DEFAULT 0,
  jumped_to bigint NOT NULL DEFAULT 0,
  records bigint NOT NULL DEFAULT 0,
  record_bytes bigint NOT NULL DEFAULT 0,
  timeline character varying(8) COLLATE "C" NOT NULL DEFAULT ''::character varying,
  CONSTRAINT stream_head_pkey PRIMARY KEY (id),
  CONSTRAINT stream_head_one CHECK ((id = 1))
) WITH (fillfactor=10);
CREATE TABLE pds_tenant.tally (
  ends_at bigint NOT NULL,
  points bigint NOT NULL,
  last_at timestamp with time zone
) WITH (fillfactor=60);
ALTER TABLE pds_tenant.tally
  ADD COLUMN bucket text COLLATE "C" NOT NULL,
  ALTER COLUMN bucket SET STORAGE PLAIN,
  ADD COLUMN key text COLLATE "C" NOT NULL,
  ALTER COLUMN key SET STORAGE PLAIN,
  ADD CONSTRAINT tally_pkey PRIMARY KEY (bucket, key, ends_at);
CREATE TABLE pds_tenant.tenant_item (
  number bigint NOT NULL DEFAULT 0,
  aid bigint NOT NULL DEFAULT 0,
  created_at timestamp with time zone NOT NULL DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone,
  due_at timestamp with time zone,
  used_at timestamp with time zone,
  tries integer NOT NULL DEFAULT 0,
  kind smallint NOT NULL,
  flags smallint NOT NULL DEFAULT 0,
  key bytea NOT NULL,
  lookup bytea,
  secret bytea,
  info bytea,
  label text COLLATE "C" NOT NULL DEFAULT ''::text,
  value text COLLATE "C" NOT NULL DEFAULT ''::text,
  note text COLLATE "C" NOT NULL DEFAULT ''::text,
  extra text COLLATE "C" NOT NULL DEFAULT ''::text,
  CONSTRAINT tenant_item_pkey PRIMARY KEY (kind, key)
) WITH (fillfactor=80);
CREATE INDEX account_item_due ON pds_tenant.account_item USING btree (kind, due_at, aid) WHERE (due_at IS NOT NULL);
CREATE UNIQUE INDEX account_item_lookup ON pds_tenant.account_item USING btree (lookup, kind, (
CASE kind
    WHEN 4 THEN '\x'::bytea
    WHEN 5 THEN int8send(aid)
    ELSE (int8send(aid) || key)
END)) WHERE (lookup IS NOT NULL);
CREATE INDEX actor_delete_after ON pds_tenant.actor USING btree (delete_after) WHERE (delete_after IS NOT NULL);
CREATE INDEX blob_misplaced ON pds_tenant.blob USING btree (aid, cid) WHERE ((takedown_ref IS NOT NULL) <> (object ~~ 'quarantine/%'::text));
CREATE INDEX blob_temporary ON pds_tenant.blob USING btree (created_at) WHERE temporary;
CREATE INDEX oauth_session_aid ON pds_tenant.oauth_session USING btree (aid);
CREATE INDEX record_blob_path ON pds_tenant.record_blob USING btree (aid, path);
CREATE INDEX record_link ON pds_tenant.record USING btree (aid, link_to, path) WHERE (link_to IS NOT NULL);
CREATE INDEX refresh_token_aid ON pds_tenant.refresh_token USING btree (aid);
CREATE INDEX refresh_token_expires ON pds_tenant.refresh_token USING btree (expires_at);
CREATE INDEX repo_event_aid ON pds_tenant.repo_event USING btree (aid, seq);
CREATE INDEX tally_end ON pds_tenant.tally USING btree (ends_at) WHERE (ends_at > 0);
CREATE INDEX tenant_item_due ON pds_tenant.tenant_item USING btree (kind, due_at, key) WHERE (due_at IS NOT NULL);
CREATE UNIQUE INDEX tenant_item_lookup ON pds_tenant.tenant_item USING btree (kind, lookup, (
CASE
    WHEN (kind = ANY (ARRAY[11, 14, 16])) THEN '\x'::bytea
    ELSE key
END)) WHERE (lookup IS NOT NULL);
ALTER TABLE pds_tenant.oauth_session ADD CONSTRAINT oauth_session_aid_fkey FOREIGN KEY (aid) REFERENCES pds_tenant.actor(aid);
INSERT INTO pds_tenant.stream_head (id, last_seq, next_aid, last_us, jumped_from, jumped_to, records, record_bytes, timeline) VALUES ('1', '0', '1', '0', '0', '0', '0', '0', left(pg_walfile_name(pg_current_wal_lsn()), 8));
INSERT INTO pds_tenant.tenant_item (number, aid, created_at, due_at, used_at, tries, kind, flags, key, lookup, secret, info, label, value, note, extra) VALUES ('0', '0', '1970-01-01 00:00:00+00', NULL, NULL, '0', '2', '0', E'\\x', NULL, NULL, NULL, '', '', '', '');

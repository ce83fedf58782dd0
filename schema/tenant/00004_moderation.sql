-- +goose Up
ALTER TABLE pds_tenant.account ADD COLUMN invite_note text NOT NULL DEFAULT '';
ALTER TABLE pds_tenant.account ADD COLUMN email_factor boolean NOT NULL DEFAULT false; -- sign-ins with the main password need a mailed code
CREATE INDEX invite_code_for ON pds_tenant.invite_code (for_account, created_at);
CREATE INDEX invite_code_created ON pds_tenant.invite_code (created_at, code);
CREATE INDEX invite_code_use_aid ON pds_tenant.invite_code_use (aid);

-- Sign-ups that wait for a decision. The account is there, deactivated and unknown to everybody; its DID's first
-- operation is kept here until then, so the PLC directory hears of approved accounts only.
CREATE TABLE pds_tenant.signup_request (
  aid         bigint PRIMARY KEY REFERENCES pds_tenant.actor,
  genesis     text NOT NULL,              -- the PLC operation, as JSON
  created_at  timestamptz NOT NULL
);
CREATE INDEX signup_request_created ON pds_tenant.signup_request (created_at, aid);

-- The tenant's operators by name; the shared password (user admin) is a secret of its own and stands beside them.
CREATE TABLE pds_tenant.operator (
  name        text COLLATE "C" PRIMARY KEY,
  role        smallint NOT NULL,          -- 1 support, 2 moderator, 3 admin, 4 owner: each may what those before it may
  created_by  text NOT NULL,
  created_at  timestamptz NOT NULL
);
CREATE TABLE pds_tenant.operator_token (
  token_hash   bytea PRIMARY KEY,         -- SHA-256 of 256 random bits
  token_id     text COLLATE "C" NOT NULL UNIQUE, -- to name it by: it opens nothing
  name         text COLLATE "C" NOT NULL REFERENCES pds_tenant.operator ON DELETE CASCADE,
  label        text NOT NULL DEFAULT '',
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,               -- null: never
  last_used_at timestamptz
);
CREATE INDEX operator_token_name ON pds_tenant.operator_token (name);

-- Every act of an operator, written in the act's own transaction; refused ones beside it.
CREATE TABLE pds_tenant.audit (
  audit_id    text COLLATE "C" PRIMARY KEY, -- rises with time
  at          timestamptz NOT NULL,
  who         text COLLATE "C" NOT NULL,  -- an operator's name, a moderation service's DID, cli:<user>
  role        smallint NOT NULL,
  action      text COLLATE "C" NOT NULL,  -- the method's NSID or the command
  subject     text COLLATE "C" NOT NULL,  -- DID, at:// URI, or did/cid of a blob
  detail      text NOT NULL,              -- JSON object, without secrets
  address     text NOT NULL,
  request_id  text NOT NULL,
  outcome     text NOT NULL               -- done, or the name of the refusal
);
CREATE INDEX audit_subject ON pds_tenant.audit (subject, audit_id);

-- The private preferences of an account: one JSON array, replaced as a whole.
CREATE TABLE pds_tenant.preference (
  aid         bigint PRIMARY KEY,
  value       text NOT NULL,
  updated_at  timestamptz NOT NULL
);

-- Rate limits: what all nodes counted together. Each adds what it counted about once a second, and reads the sum.
CREATE TABLE pds_tenant.limit_count (
  bucket      text COLLATE "C" NOT NULL,
  key         text COLLATE "C" NOT NULL,  -- address, account …
  ends_at     bigint NOT NULL,            -- end of the window, unix seconds
  points      bigint NOT NULL,
  PRIMARY KEY (bucket, key, ends_at)
) WITH (fillfactor = 60);
CREATE INDEX limit_count_end ON pds_tenant.limit_count (ends_at);

-- Refused sign-ins in a row, by account tried and by address.
CREATE TABLE pds_tenant.signin_failure (
  key         text COLLATE "C" PRIMARY KEY,
  failures    int NOT NULL,
  last_at     timestamptz NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX signin_failure_last ON pds_tenant.signin_failure (last_at);

-- The authenticator app of an account. last_step keeps a code from being used twice.
CREATE TABLE pds_tenant.totp (
  aid          bigint PRIMARY KEY REFERENCES pds_tenant.actor,
  sealed       bytea NOT NULL,
  confirmed_at timestamptz,
  last_step    bigint NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL
);
CREATE TABLE pds_tenant.backup_code (
  aid         bigint NOT NULL REFERENCES pds_tenant.actor,
  code_mac    bytea NOT NULL,
  PRIMARY KEY (aid, code_mac)
);

-- +goose Down
DROP TABLE pds_tenant.backup_code;
DROP TABLE pds_tenant.totp;
DROP TABLE pds_tenant.signin_failure;
DROP TABLE pds_tenant.limit_count;
DROP TABLE pds_tenant.preference;
DROP TABLE pds_tenant.audit;
DROP TABLE pds_tenant.operator_token;
DROP TABLE pds_tenant.operator;
DROP TABLE pds_tenant.signup_request;
DROP INDEX pds_tenant.invite_code_use_aid;
DROP INDEX pds_tenant.invite_code_created;
DROP INDEX pds_tenant.invite_code_for;
ALTER TABLE pds_tenant.account DROP COLUMN email_factor;
ALTER TABLE pds_tenant.account DROP COLUMN invite_note;

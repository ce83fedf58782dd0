-- +goose Up
-- Accounts that moved here and were never activated: the firehose never spoke of them, so their deletion is silent too.
ALTER TABLE pds_tenant.actor ADD COLUMN unannounced boolean NOT NULL DEFAULT false;
CREATE INDEX actor_delete_after ON pds_tenant.actor (delete_after) WHERE delete_after IS NOT NULL;

-- Mailed tokens: one per account and purpose, a new one replaces the old. Only an HMAC is stored.
CREATE TABLE pds_tenant.email_token (
  aid         bigint NOT NULL REFERENCES pds_tenant.actor,
  purpose     text COLLATE "C" NOT NULL,  -- confirm_email, update_email, reset_password, delete_account, plc_operation
  token_mac   bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  PRIMARY KEY (aid, purpose)
);
CREATE UNIQUE INDEX email_token_mac ON pds_tenant.email_token (token_mac);
CREATE INDEX email_token_expires ON pds_tenant.email_token (expires_at);

-- App passwords are 80 random bits: an HMAC bound to the account is enough, and finds the row by itself.
CREATE TABLE pds_tenant.app_password (
  aid          bigint NOT NULL REFERENCES pds_tenant.actor,
  name         text COLLATE "C" NOT NULL,
  password_mac bytea NOT NULL,
  privileged   boolean NOT NULL,
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,               -- null: never
  last_used_at timestamptz,
  PRIMARY KEY (aid, name)
);
CREATE UNIQUE INDEX app_password_mac ON pds_tenant.app_password (aid, password_mac);

-- Signing keys made before their account: sealed as those of account 0.
CREATE TABLE pds_tenant.reserved_key (
  public      text COLLATE "C" PRIMARY KEY, -- did:key
  did         text COLLATE "C" UNIQUE,      -- null: for nobody in particular
  sealed      bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL
);
CREATE INDEX reserved_key_expires ON pds_tenant.reserved_key (expires_at);

-- The mail queue. docs/mail.md tells what each state means after a crash.
CREATE TABLE pds_tenant.mail (
  mail_id     text COLLATE "C" PRIMARY KEY, -- random; also the left part of the Message-ID
  aid         bigint NOT NULL,              -- 0: no account's
  recipient   text NOT NULL,
  sealed      bytea NOT NULL,               -- what the text is made of, tokens included; emptied at the end
  state       smallint NOT NULL,            -- 0 waiting, 1 claimed, 2 being handed over, 3 sent, 4 given up
  attempts    int NOT NULL,                 -- also tells one claim from the next
  due_at      timestamptz NOT NULL,         -- waiting: not before; claimed or being handed over: the claim's end
  last_error  text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL          -- worthless after
);
CREATE INDEX mail_due ON pds_tenant.mail (due_at) WHERE state < 3;
CREATE INDEX mail_done ON pds_tenant.mail (created_at) WHERE state >= 3;
CREATE INDEX mail_aid ON pds_tenant.mail (aid);

-- Deleted accounts whose bulk (records, nodes, backlinks) is still being removed, a slice at a time.
CREATE TABLE pds_tenant.purge (
  aid         bigint PRIMARY KEY,
  created_at  timestamptz NOT NULL
);

-- +goose Down
DROP TABLE pds_tenant.purge;
DROP TABLE pds_tenant.mail;
DROP TABLE pds_tenant.reserved_key;
DROP TABLE pds_tenant.app_password;
DROP TABLE pds_tenant.email_token;
DROP INDEX pds_tenant.actor_delete_after;
ALTER TABLE pds_tenant.actor DROP COLUMN unannounced;

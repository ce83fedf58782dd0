-- The rare tables of accounts become one. A relation costs its files, its catalogue rows and a place in every
-- connection's cache, for each tenant again; twelve of these tables had a few rows an account or none.
--
-- What a column says depends on the kind. Those that are not named are not used:
--
--   kind                 key              due_at      lookup        others
--    1 one-time codes    ''                                         secret: sealed seed; number: last step; used_at: confirmed
--    2 backup code       MAC
--    3 passkey           credential id                              label: name; secret: COSE key; info: AAGUID; value: transports;
--                                                                   flags: of its last answer; number: counter; noted_at: warned; used_at
--    4 mailed token      purpose          expires     MAC
--    5 app password      name             expires     MAC           flags: 1 privileged; used_at
--    6 trusted browser   device           expires     device
--    7 signed-in browser device, request  expires     device        label: request; number: epoch; flags: 1 remembered; noted_at: proven;
--                                                                   created_at: signed in
--    8 consent to an app client id                                  value: scopes
--    9 preferences       ''                                         value: JSON
--   10 activity          ''                                         value: JSON; number: turn
--   11 sign-up request   ''               created_at                value: genesis operation; label: language; used_at: being approved;
--                                                                   noted_at: rejected
--   12 purge             ''               created_at                what is left of a deleted account
--   13 uncounted         ''               epoch                     its records were never counted
--
-- No foreign key leads to actor: whoever inserts takes the actor's row (FOR KEY SHARE), and what deletes an account
-- deletes its items.


-- +goose Up
-- locus: alone
CREATE TABLE pds_tenant.account_item (
  aid         bigint NOT NULL,
  number      bigint NOT NULL DEFAULT 0,
  created_at  timestamptz NOT NULL DEFAULT 'epoch',
  due_at      timestamptz,
  used_at     timestamptz,
  noted_at    timestamptz,
  kind        smallint NOT NULL,
  flags       smallint NOT NULL DEFAULT 0,
  key         bytea NOT NULL DEFAULT '',
  lookup      bytea,
  secret      bytea NOT NULL DEFAULT '',
  info        bytea NOT NULL DEFAULT '',
  label       text NOT NULL DEFAULT '',
  value       text NOT NULL DEFAULT '',
  PRIMARY KEY (aid, kind, key)
) WITH (fillfactor = 80);
CREATE INDEX account_item_due ON pds_tenant.account_item (kind, due_at, aid) WHERE due_at IS NOT NULL;
-- A mailed token's MAC is one account's, an app password's is one of its account's.
CREATE UNIQUE INDEX account_item_lookup ON pds_tenant.account_item (lookup, kind,
  (CASE kind WHEN 4 THEN ''::bytea WHEN 5 THEN int8send(aid) ELSE int8send(aid) || key END)) WHERE lookup IS NOT NULL;

INSERT INTO pds_tenant.account_item (aid, kind, secret, used_at, number, created_at)
SELECT aid, 1, sealed, confirmed_at, last_step, created_at FROM pds_tenant.totp;
INSERT INTO pds_tenant.account_item (aid, kind, key) SELECT aid, 2, code_mac FROM pds_tenant.backup_code;
INSERT INTO pds_tenant.account_item (aid, kind, key, label, secret, info, value, flags, number, noted_at, created_at, used_at)
SELECT aid, 3, credential_id, name, public_key, aaguid, transports, flags, sign_count, warned_at, created_at, last_used_at FROM pds_tenant.passkey;
INSERT INTO pds_tenant.account_item (aid, kind, key, lookup, created_at, due_at)
SELECT aid, 4, convert_to(purpose, 'UTF8'), token_mac, created_at, expires_at FROM pds_tenant.email_token;
INSERT INTO pds_tenant.account_item (aid, kind, key, lookup, flags, created_at, due_at, used_at)
SELECT aid, 5, convert_to(name, 'UTF8'), password_mac, privileged::int, created_at, expires_at, last_used_at FROM pds_tenant.app_password;
INSERT INTO pds_tenant.account_item (aid, kind, key, lookup, created_at, due_at)
SELECT aid, 6, device, device, trusted_at, expires_at FROM pds_tenant.trusted_browser;
INSERT INTO pds_tenant.account_item (aid, kind, key, lookup, label, number, flags, created_at, noted_at, due_at)
SELECT aid, 7, device || convert_to(request, 'UTF8'), device, request, epoch, remembered::int, signed_in_at, proven_at, expires_at FROM pds_tenant.device_account;
INSERT INTO pds_tenant.account_item (aid, kind, key, value, created_at)
SELECT aid, 8, convert_to(client_id, 'UTF8'), granted, updated_at FROM pds_tenant.oauth_consent;
INSERT INTO pds_tenant.account_item (aid, kind, value, created_at) SELECT aid, 9, value, updated_at FROM pds_tenant.preference;
INSERT INTO pds_tenant.account_item (aid, kind, number, value) SELECT aid, 10, turn, body FROM pds_tenant.activity;
INSERT INTO pds_tenant.account_item (aid, kind, value, label, created_at, due_at, used_at, noted_at)
SELECT aid, 11, genesis, lang, created_at, created_at, approving_at, rejected_at FROM pds_tenant.signup_request;
INSERT INTO pds_tenant.account_item (aid, kind, created_at, due_at) SELECT aid, 12, created_at, created_at FROM pds_tenant.purge;
INSERT INTO pds_tenant.account_item (aid, kind, due_at) SELECT aid, 13, 'epoch' FROM pds_tenant.uncounted;
DROP TABLE pds_tenant.totp, pds_tenant.backup_code, pds_tenant.passkey, pds_tenant.email_token, pds_tenant.app_password,
  pds_tenant.trusted_browser, pds_tenant.device_account, pds_tenant.oauth_consent, pds_tenant.preference, pds_tenant.activity,
  pds_tenant.signup_request, pds_tenant.purge, pds_tenant.uncounted;

-- The signing key goes to the account: that row changes rarely, and is as often there.
ALTER TABLE pds_tenant.account
  ADD COLUMN key_sealed bytea,
  ADD COLUMN key_public text,                  -- did:key
  ADD COLUMN key_created_at timestamptz,
  DROP CONSTRAINT account_aid_fkey;
INSERT INTO pds_tenant.account AS c (aid, created_at, key_sealed, key_public, key_created_at)
SELECT aid, created_at, sealed, public, created_at FROM pds_tenant.signing_key
ON CONFLICT (aid) DO UPDATE SET key_sealed = excluded.key_sealed, key_public = excluded.key_public, key_created_at = excluded.key_created_at;
DROP TABLE pds_tenant.signing_key;

-- Bounded texts, so that there is no TOAST table. Whoever inserts holds the actor's row.
ALTER TABLE pds_tenant.refresh_token
  ALTER COLUMN token_id TYPE varchar(64) COLLATE "C",
  ALTER COLUMN next_id TYPE varchar(64) COLLATE "C",
  ALTER COLUMN app_password_name TYPE varchar(256) COLLATE "C",
  DROP CONSTRAINT refresh_token_aid_fkey;

-- +goose Down
DELETE FROM pds_tenant.account_item i WHERE i.kind NOT IN (9, 10, 12, 13) AND NOT EXISTS (SELECT 1 FROM pds_tenant.actor a WHERE a.aid = i.aid);
DELETE FROM pds_tenant.refresh_token r WHERE NOT EXISTS (SELECT 1 FROM pds_tenant.actor a WHERE a.aid = r.aid);
ALTER TABLE pds_tenant.refresh_token
  ALTER COLUMN token_id TYPE text COLLATE "C",
  ALTER COLUMN next_id TYPE text COLLATE "C",
  ALTER COLUMN app_password_name TYPE text COLLATE "default",
  ADD CONSTRAINT refresh_token_aid_fkey FOREIGN KEY (aid) REFERENCES pds_tenant.actor;

CREATE TABLE pds_tenant.signing_key (
  aid         bigint PRIMARY KEY REFERENCES pds_tenant.actor,
  sealed      bytea NOT NULL,
  public      text NOT NULL,
  created_at  timestamptz NOT NULL
);
INSERT INTO pds_tenant.signing_key (aid, sealed, public, created_at)
SELECT aid, key_sealed, key_public, key_created_at FROM pds_tenant.account WHERE key_sealed IS NOT NULL;
ALTER TABLE pds_tenant.account
  DROP COLUMN key_created_at, DROP COLUMN key_public, DROP COLUMN key_sealed,
  ADD CONSTRAINT account_aid_fkey FOREIGN KEY (aid) REFERENCES pds_tenant.actor;

CREATE TABLE pds_tenant.totp (
  aid          bigint PRIMARY KEY REFERENCES pds_tenant.actor,
  sealed       bytea NOT NULL,
  confirmed_at timestamptz,
  last_step    bigint NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL
);
INSERT INTO pds_tenant.totp (aid, sealed, confirmed_at, last_step, created_at)
SELECT aid, secret, used_at, number, created_at FROM pds_tenant.account_item WHERE kind = 1;

CREATE TABLE pds_tenant.backup_code (
  aid         bigint NOT NULL REFERENCES pds_tenant.actor,
  code_mac    bytea NOT NULL,
  PRIMARY KEY (aid, code_mac)
);
INSERT INTO pds_tenant.backup_code (aid, code_mac) SELECT aid, key FROM pds_tenant.account_item WHERE kind = 2;

CREATE TABLE pds_tenant.passkey (
  aid           bigint NOT NULL REFERENCES pds_tenant.actor,
  credential_id bytea NOT NULL,
  name          text NOT NULL,
  public_key    bytea NOT NULL,
  aaguid        bytea NOT NULL,
  transports    text NOT NULL,
  flags         smallint NOT NULL,
  sign_count    bigint NOT NULL,
  warned_at     timestamptz,
  created_at    timestamptz NOT NULL,
  last_used_at  timestamptz,
  PRIMARY KEY (aid, credential_id)
);
INSERT INTO pds_tenant.passkey (aid, credential_id, name, public_key, aaguid, transports, flags, sign_count, warned_at, created_at, last_used_at)
SELECT aid, key, label, secret, info, value, flags, number, noted_at, created_at, used_at FROM pds_tenant.account_item WHERE kind = 3;

CREATE TABLE pds_tenant.email_token (
  aid         bigint NOT NULL REFERENCES pds_tenant.actor,
  purpose     text COLLATE "C" NOT NULL,
  token_mac   bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  PRIMARY KEY (aid, purpose)
);
CREATE UNIQUE INDEX email_token_mac ON pds_tenant.email_token (token_mac);
CREATE INDEX email_token_expires ON pds_tenant.email_token (expires_at);
INSERT INTO pds_tenant.email_token (aid, purpose, token_mac, created_at, expires_at)
SELECT aid, convert_from(key, 'UTF8'), lookup, created_at, due_at FROM pds_tenant.account_item WHERE kind = 4;

CREATE TABLE pds_tenant.app_password (
  aid          bigint NOT NULL REFERENCES pds_tenant.actor,
  name         text COLLATE "C" NOT NULL,
  password_mac bytea NOT NULL,
  privileged   boolean NOT NULL,
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,
  last_used_at timestamptz,
  PRIMARY KEY (aid, name)
);
CREATE UNIQUE INDEX app_password_mac ON pds_tenant.app_password (aid, password_mac);
INSERT INTO pds_tenant.app_password (aid, name, password_mac, privileged, created_at, expires_at, last_used_at)
SELECT aid, convert_from(key, 'UTF8'), lookup, flags = 1, created_at, due_at, used_at FROM pds_tenant.account_item WHERE kind = 5;

CREATE TABLE pds_tenant.trusted_browser (
  aid           bigint NOT NULL,
  device        bytea NOT NULL REFERENCES pds_tenant.device ON DELETE CASCADE,
  trusted_at    timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL,
  PRIMARY KEY (aid, device)
);
CREATE INDEX trusted_browser_device ON pds_tenant.trusted_browser (device);
INSERT INTO pds_tenant.trusted_browser (aid, device, trusted_at, expires_at)
SELECT i.aid, i.lookup, i.created_at, i.due_at FROM pds_tenant.account_item i JOIN pds_tenant.device d ON d.id = i.lookup WHERE i.kind = 6;

CREATE TABLE pds_tenant.device_account (
  aid          bigint NOT NULL REFERENCES pds_tenant.actor,
  device       bytea NOT NULL REFERENCES pds_tenant.device ON DELETE CASCADE,
  request      text COLLATE "C" NOT NULL,
  epoch        bigint NOT NULL,
  remembered   boolean NOT NULL,
  signed_in_at timestamptz NOT NULL,
  proven_at    timestamptz NOT NULL,
  expires_at   timestamptz NOT NULL,
  PRIMARY KEY (aid, device, request)
);
CREATE INDEX device_account_device ON pds_tenant.device_account (device);
INSERT INTO pds_tenant.device_account (aid, device, request, epoch, remembered, signed_in_at, proven_at, expires_at)
SELECT i.aid, i.lookup, i.label, i.number, i.flags = 1, i.created_at, i.noted_at, i.due_at
FROM pds_tenant.account_item i JOIN pds_tenant.device d ON d.id = i.lookup WHERE i.kind = 7;

CREATE TABLE pds_tenant.oauth_consent (
  aid         bigint NOT NULL REFERENCES pds_tenant.actor,
  client_id   text NOT NULL,
  granted     text NOT NULL,
  updated_at  timestamptz NOT NULL,
  PRIMARY KEY (aid, client_id)
);
INSERT INTO pds_tenant.oauth_consent (aid, client_id, granted, updated_at)
SELECT aid, convert_from(key, 'UTF8'), value, created_at FROM pds_tenant.account_item WHERE kind = 8;

CREATE TABLE pds_tenant.preference (
  aid         bigint PRIMARY KEY,
  value       text NOT NULL,
  updated_at  timestamptz NOT NULL
);
INSERT INTO pds_tenant.preference (aid, value, updated_at) SELECT aid, value, created_at FROM pds_tenant.account_item WHERE kind = 9;

CREATE TABLE pds_tenant.activity (
  aid           bigint PRIMARY KEY,
  turn          bigint NOT NULL,
  body          text NOT NULL
) WITH (fillfactor = 80);
INSERT INTO pds_tenant.activity (aid, turn, body) SELECT aid, number, value FROM pds_tenant.account_item WHERE kind = 10;

CREATE TABLE pds_tenant.signup_request (
  aid          bigint PRIMARY KEY REFERENCES pds_tenant.actor,
  genesis      text NOT NULL,
  created_at   timestamptz NOT NULL,
  approving_at timestamptz,
  rejected_at  timestamptz,
  lang         text NOT NULL DEFAULT ''
);
CREATE INDEX signup_request_created ON pds_tenant.signup_request (created_at, aid);
INSERT INTO pds_tenant.signup_request (aid, genesis, created_at, approving_at, rejected_at, lang)
SELECT aid, value, created_at, used_at, noted_at, label FROM pds_tenant.account_item WHERE kind = 11;

CREATE TABLE pds_tenant.purge (
  aid         bigint PRIMARY KEY,
  created_at  timestamptz NOT NULL
);
INSERT INTO pds_tenant.purge (aid, created_at) SELECT aid, created_at FROM pds_tenant.account_item WHERE kind = 12;

CREATE TABLE pds_tenant.uncounted (aid bigint PRIMARY KEY);
INSERT INTO pds_tenant.uncounted (aid) SELECT aid FROM pds_tenant.account_item WHERE kind = 13;

DROP TABLE pds_tenant.account_item;

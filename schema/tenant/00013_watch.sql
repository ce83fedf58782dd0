-- +goose Up
-- Passkeys: public keys that an account's owner signs in with. Sign-ins name the account and the key, so nothing else is
-- looked for.
CREATE TABLE pds_tenant.passkey (
  aid           bigint NOT NULL REFERENCES pds_tenant.actor,
  credential_id bytea NOT NULL,
  name          text NOT NULL,            -- that the owner gave it
  public_key    bytea NOT NULL,           -- COSE
  aaguid        bytea NOT NULL,           -- the kind of authenticator
  transports    text NOT NULL,            -- of it, separated by commas
  flags         smallint NOT NULL,        -- of its last answer, as WebAuthn has them
  sign_count    bigint NOT NULL,          -- 0: it does not count
  warned_at     timestamptz,              -- when it counted backwards: there may be a copy
  created_at    timestamptz NOT NULL,
  last_used_at  timestamptz,
  PRIMARY KEY (aid, credential_id)
);

-- Browsers in which an account's owner is asked for no second factor.
CREATE TABLE pds_tenant.trusted_browser (
  aid           bigint NOT NULL,
  device        bytea NOT NULL REFERENCES pds_tenant.device ON DELETE CASCADE,
  trusted_at    timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL,
  PRIMARY KEY (aid, device)
);
CREATE INDEX trusted_browser_device ON pds_tenant.trusted_browser (device); -- devices go with theirs

-- What happened to an account, and where it was signed in from: one row each, as JSON of bounded length. The row is
-- locked by raising turn.
CREATE TABLE pds_tenant.activity (
  aid           bigint PRIMARY KEY,
  turn          bigint NOT NULL,
  body          text NOT NULL
) WITH (fillfactor = 80);

-- The main password begins no session of an app.
ALTER TABLE pds_tenant.account ADD COLUMN oauth_only boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE pds_tenant.account DROP COLUMN oauth_only;
DROP TABLE pds_tenant.activity;
DROP TABLE pds_tenant.trusted_browser;
DROP TABLE pds_tenant.passkey;

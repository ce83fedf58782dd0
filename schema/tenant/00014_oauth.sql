-- +goose Up
-- What a client asked for, from the moment it asks until its code is redeemed. id and code are SHA-256 of what was given
-- out. device is the browser that acted first: no other may go on with it.
CREATE TABLE pds_tenant.oauth_request (
  id          bytea PRIMARY KEY,
  client_id   text NOT NULL,
  params      text NOT NULL,          -- JSON
  client_key  text NOT NULL,          -- JSON: the key that the client proved itself with; '' for a public client
  device      bytea,
  aid         bigint NOT NULL DEFAULT 0, -- who granted it; 0: nobody yet
  granted     text NOT NULL DEFAULT '',
  code        bytea UNIQUE,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL
);

-- What an account granted to a client, while the client uses it. Tokens are not stored: they are made of id and
-- generation with the tenant's key. It counts while epoch is the account's session_epoch: what ends sessions ends it.
CREATE TABLE pds_tenant.oauth_session (
  id          bytea PRIMARY KEY,
  aid         bigint NOT NULL REFERENCES pds_tenant.actor,
  epoch       bigint NOT NULL,
  client_id   text NOT NULL,
  client_name text NOT NULL,
  client_key  text NOT NULL,
  jkt         text NOT NULL,          -- thumbprint of the key that its tokens are bound to
  granted     text NOT NULL,          -- scopes, as they were asked for
  scope       text NOT NULL,          -- scopes, permission sets expanded: what it opens now
  code        bytea NOT NULL UNIQUE,  -- that it began with: a second use is told from an unknown one
  device      bytea,                  -- the browser that it was granted on
  generation  bigint NOT NULL,        -- of its tokens
  created_at  timestamptz NOT NULL,
  rotated_at  timestamptz NOT NULL,   -- when the tokens of this generation were made
  ends_at     timestamptz NOT NULL,   -- whatever it does
  expires_at  timestamptz NOT NULL    -- unless it is refreshed
);
CREATE INDEX oauth_session_aid ON pds_tenant.oauth_session (aid);

-- What an account said yes to, for each client it knows.
CREATE TABLE pds_tenant.oauth_consent (
  aid         bigint NOT NULL REFERENCES pds_tenant.actor,
  client_id   text NOT NULL,
  granted     text NOT NULL,
  updated_at  timestamptz NOT NULL,
  PRIMARY KEY (aid, client_id)
);

-- +goose Down
DROP TABLE pds_tenant.oauth_consent;
DROP TABLE pds_tenant.oauth_session;
DROP TABLE pds_tenant.oauth_request;

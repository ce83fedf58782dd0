-- +goose Up
-- A browser that somebody signed in with. id and session are SHA-256 of what its cookies hold; former is the session
-- before this one, which is good for a few seconds. The row is seen at each rotation, so rotated_at is "last seen".
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

-- The accounts that are signed in there. request is the authorization request that one is good for which is not
-- remembered; '' for all others. It counts while epoch is the account's session_epoch: what ends sessions ends it.
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

-- +goose Down
DROP TABLE pds_tenant.device_account;
DROP TABLE pds_tenant.device;

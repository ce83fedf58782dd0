-- +goose Up
-- Service tokens that were used for what may happen once: digests, until the tokens have expired anyway.
CREATE TABLE pds_tenant.service_nonce (
  digest      bytea PRIMARY KEY,
  expires_at  timestamptz NOT NULL
);
CREATE INDEX service_nonce_expires ON pds_tenant.service_nonce (expires_at);

-- A sign-up that waits is decided on in steps, because the PLC directory is told in between. Each step says here that it
-- is under way, so that the other decision keeps away and a job can end what a crash cut off.
ALTER TABLE pds_tenant.signup_request
  ADD COLUMN approving_at timestamptz,
  ADD COLUMN rejected_at  timestamptz,
  ADD COLUMN lang         text NOT NULL DEFAULT ''; -- what the applicant reads

-- +goose Down
ALTER TABLE pds_tenant.signup_request DROP COLUMN lang, DROP COLUMN rejected_at, DROP COLUMN approving_at;
DROP TABLE pds_tenant.service_nonce;

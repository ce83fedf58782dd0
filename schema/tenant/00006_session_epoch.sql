-- +goose Up
-- Ends access tokens before their time: each carries the number that its account had, and one that is not the account's
-- any more is expired. Whoever ends sessions counts it up, in the same row update that others wait for. Tokens of app
-- passwords carry the sum of both: revoking one ends those, and leaves the main password's alone.
ALTER TABLE pds_tenant.actor ADD COLUMN session_epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE pds_tenant.actor ADD COLUMN app_epoch bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE pds_tenant.actor DROP COLUMN app_epoch;
ALTER TABLE pds_tenant.actor DROP COLUMN session_epoch;

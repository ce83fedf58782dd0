-- +goose Up
-- Proofs of possession that were shown with access tokens: the first half of their digests, for as long as they would
-- hold. Each call by OAuth adds one. It is not logged: a crash of the database forgets proofs of the last three minutes,
-- each of which was for one call by the very same client. Deleted by whole seconds, without an index.
CREATE UNLOGGED TABLE pds_tenant.oauth_proof (
  digest      bytea PRIMARY KEY,
  expires_at  bigint NOT NULL -- seconds
);

-- +goose Down
DROP TABLE pds_tenant.oauth_proof;

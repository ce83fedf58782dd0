-- What is sealed under the deployment's master keys, wherever it is: the second byte says under which one. The places are
-- accounts' signing keys, one-time codes (account_item of kind 1), and of tenant_item the kinds 1 secrets, 5 mail that
-- waits, 11 stores of files and 14 reserved keys.

-- name: ListSealedKeys :many
-- How much is sealed under each key.
SELECT x.key_id::int AS key_id, count(*) AS n FROM (
  SELECT get_byte(c.key_sealed, 1) AS key_id FROM pds_tenant.account c WHERE length(c.key_sealed) > 1
  UNION ALL SELECT get_byte(i.secret, 1) FROM pds_tenant.account_item i WHERE i.kind = 1 AND length(i.secret) > 1
  UNION ALL SELECT get_byte(i.secret, 1) FROM pds_tenant.tenant_item i WHERE i.kind IN (1, 5, 11, 14) AND length(i.secret) > 1
) x GROUP BY x.key_id ORDER BY x.key_id LIMIT 256;

-- name: ListSealedOfAccounts :many
-- Signing keys, and with others_than those that are not under that master key.
SELECT c.aid, c.key_sealed::bytea AS sealed FROM pds_tenant.account c
WHERE c.aid > @after AND length(c.key_sealed) > 1 AND get_byte(c.key_sealed, 1) <> @others_than::int ORDER BY c.aid LIMIT @max_rows::int;

-- name: UpdateSealedOfAccounts :execrows
-- Only what is as it was read: who has changed it meanwhile has sealed it under the new key.
UPDATE pds_tenant.account c SET key_sealed = x.sealed
FROM unnest(@aids::bigint[], @was::bytea[], @sealed::bytea[]) AS x(aid, was, sealed)
WHERE c.aid = x.aid AND c.key_sealed = x.was;

-- name: ListSealedOfFactors :many
SELECT i.aid, i.secret AS sealed FROM pds_tenant.account_item i
WHERE i.kind = 1 AND i.key = '' AND i.aid > @after AND length(i.secret) > 1 AND get_byte(i.secret, 1) <> @others_than::int ORDER BY i.aid LIMIT @max_rows::int;

-- name: UpdateSealedOfFactors :execrows
UPDATE pds_tenant.account_item i SET secret = x.sealed
FROM unnest(@aids::bigint[], @was::bytea[], @sealed::bytea[]) AS x(aid, was, sealed)
WHERE i.kind = 1 AND i.key = '' AND i.aid = ANY(@aids::bigint[]) AND i.aid = x.aid AND i.secret = x.was;

-- name: ListSealedOfTenant :many
SELECT i.key, i.number, i.secret::bytea AS sealed FROM pds_tenant.tenant_item i
WHERE i.kind = @kind AND i.key > @after::bytea AND length(i.secret) > 1 AND get_byte(i.secret, 1) <> @others_than::int ORDER BY i.key LIMIT @max_rows::int;

-- name: UpdateSealedOfTenant :execrows
UPDATE pds_tenant.tenant_item i SET secret = x.sealed
FROM unnest(@keys::bytea[], @was::bytea[], @sealed::bytea[]) AS x(key, was, sealed)
WHERE i.kind = @kind AND i.key = x.key AND i.secret = x.was;

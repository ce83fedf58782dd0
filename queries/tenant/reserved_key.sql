-- Items of kind 14. There are 10,000 at most (maxReserved in internal/account).

-- name: InsertReservedKey :execrows
-- Nothing when the DID has one already.
INSERT INTO pds_tenant.tenant_item (kind, key, lookup, secret, created_at, due_at, label, value)
VALUES (14, convert_to(@public::text, 'UTF8'), convert_to(sqlc.narg(did)::text, 'UTF8'), @sealed::bytea, @created_at, @expires_at::timestamptz, @network::text, @address::text)
ON CONFLICT DO NOTHING;

-- name: CountReservedKeys :one
-- All there are, and how many of them a network and an address in it have.
SELECT count(*)::bigint AS total, count(*) FILTER (WHERE k.label = @network::text)::bigint AS of_network,
  count(*) FILTER (WHERE k.label = @network::text AND k.value = @address::text)::bigint AS of_address
FROM pds_tenant.tenant_item k WHERE k.kind = 14;

-- name: DeleteCrowdingReservedKeys :execrows
-- The oldest of the address that has most, in the network that has most: of all, or of the network and address named.
-- An operator's stay.
DELETE FROM pds_tenant.tenant_item WHERE kind = 14 AND key IN (
  SELECT x.key FROM (
    SELECT k.key, k.created_at, count(*) OVER (PARTITION BY k.label) AS of_network,
      count(*) OVER (PARTITION BY k.label, k.value) AS of_address
    FROM pds_tenant.tenant_item k
    WHERE k.kind = 14 AND k.label <> '' AND (@network::text = '' OR k.label = @network) AND (@address::text = '' OR k.value = @address)
  ) x ORDER BY x.of_network DESC, x.of_address DESC, x.created_at, x.key LIMIT @max_rows::int);

-- name: GetReservedKey :one
SELECT convert_from(key, 'UTF8')::text AS public, secret AS sealed FROM pds_tenant.tenant_item
WHERE kind = 14 AND lookup = convert_to(@did::text, 'UTF8') AND coalesce(due_at, 'infinity') > @now::timestamptz;

-- name: DeleteReservedKey :exec
DELETE FROM pds_tenant.tenant_item WHERE kind = 14 AND lookup = convert_to(@did::text, 'UTF8');

-- name: DeleteExpiredReservedKeyOf :exec
DELETE FROM pds_tenant.tenant_item WHERE kind = 14 AND lookup = convert_to(@did::text, 'UTF8') AND coalesce(due_at, 'infinity') <= @now::timestamptz;

-- name: DeleteExpiredReservedKeys :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 14 AND key IN (
  SELECT k.key FROM pds_tenant.tenant_item k WHERE k.kind = 14 AND k.due_at <= @now::timestamptz
  ORDER BY k.due_at LIMIT @max_rows::int);

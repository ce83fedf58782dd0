-- name: InsertReservedKey :execrows
-- Nothing when the DID has one already.
INSERT INTO pds_tenant.reserved_key (public, did, sealed, created_at, expires_at, network, address)
VALUES (@public, sqlc.narg(did)::text, @sealed, @created_at, @expires_at, @network, @address)
ON CONFLICT DO NOTHING;

-- name: CountReservedKeys :one
-- All there are, and how many of them a network and an address in it have.
SELECT (SELECT count(*) FROM pds_tenant.reserved_key)::bigint AS total,
  (SELECT count(*) FROM pds_tenant.reserved_key n WHERE n.network = @network)::bigint AS of_network,
  (SELECT count(*) FROM pds_tenant.reserved_key a WHERE a.network = @network AND a.address = @address)::bigint AS of_address;

-- name: DeleteCrowdingReservedKeys :execrows
-- The oldest of the address that has most, in the network that has most: of all, or of the network and address named.
-- An operator's stay.
DELETE FROM pds_tenant.reserved_key WHERE public IN (
  SELECT x.public FROM (
    SELECT k.public, k.created_at, count(*) OVER (PARTITION BY k.network) AS of_network,
      count(*) OVER (PARTITION BY k.network, k.address) AS of_address
    FROM pds_tenant.reserved_key k
    WHERE k.network <> '' AND (@network::text = '' OR k.network = @network) AND (@address::text = '' OR k.address = @address)
  ) x ORDER BY x.of_network DESC, x.of_address DESC, x.created_at, x.public LIMIT @max_rows::int);

-- name: GetReservedKey :one
SELECT public, sealed FROM pds_tenant.reserved_key WHERE did = @did::text AND expires_at > @now::timestamptz;

-- name: DeleteReservedKey :exec
DELETE FROM pds_tenant.reserved_key WHERE did = @did::text;

-- name: DeleteExpiredReservedKeyOf :exec
DELETE FROM pds_tenant.reserved_key WHERE did = @did::text AND expires_at <= @now::timestamptz;

-- name: DeleteExpiredReservedKeys :execrows
DELETE FROM pds_tenant.reserved_key WHERE public IN (
  SELECT k.public FROM pds_tenant.reserved_key k WHERE k.expires_at <= @now::timestamptz
  ORDER BY k.expires_at LIMIT @max_rows::int);

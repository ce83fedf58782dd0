-- name: InsertReservedKey :execrows
-- Nothing when the DID has one already, or there are as many as may be.
INSERT INTO pds_tenant.reserved_key (public, did, sealed, created_at, expires_at)
SELECT @public, sqlc.narg(did)::text, @sealed, @created_at, @expires_at
WHERE (SELECT count(*) FROM pds_tenant.reserved_key) < @max_rows::int
ON CONFLICT DO NOTHING;

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

-- name: InsertSecret :exec
-- Keeps what is there: a creation that is repeated after a crash must not make a second key.
INSERT INTO pds_tenant.secret (purpose, sealed, public, created_at) VALUES (@purpose, @sealed, @public, @created_at)
ON CONFLICT (purpose) DO NOTHING;

-- name: GetSecret :one
SELECT sealed, public FROM pds_tenant.secret WHERE purpose = @purpose;

-- name: UpsertSecret :exec
INSERT INTO pds_tenant.secret (purpose, sealed, public, created_at) VALUES (@purpose, @sealed, @public, @created_at)
ON CONFLICT (purpose) DO UPDATE SET sealed = excluded.sealed, public = excluded.public, created_at = excluded.created_at;

-- name: DeleteSecret :execrows
DELETE FROM pds_tenant.secret WHERE purpose = @purpose;

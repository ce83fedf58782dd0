-- name: InsertSigningKey :exec
INSERT INTO pds_tenant.signing_key (aid, sealed, public, created_at) VALUES (@aid, @sealed, @public, @created_at);

-- name: GetSigningKey :one
SELECT sealed, public FROM pds_tenant.signing_key WHERE aid = @aid;

-- name: DeleteSigningKey :exec
DELETE FROM pds_tenant.signing_key WHERE aid = @aid;

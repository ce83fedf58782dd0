-- An account's signing key is in its account's row.

-- name: InsertSigningKey :exec
INSERT INTO pds_tenant.account AS c (aid, key_sealed, key_public, key_created_at, created_at)
VALUES (@aid, @sealed::bytea, @public::text, @created_at::timestamptz, @created_at::timestamptz)
ON CONFLICT (aid) DO UPDATE SET key_sealed = excluded.key_sealed, key_public = excluded.key_public, key_created_at = excluded.key_created_at;

-- name: GetSigningKey :one
SELECT key_sealed::bytea AS sealed, key_public::text AS public FROM pds_tenant.account WHERE aid = @aid AND key_sealed IS NOT NULL;

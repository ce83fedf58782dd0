-- name: UpsertEmailToken :exec
-- A new token replaces the one of the same purpose.
INSERT INTO pds_tenant.email_token (aid, purpose, token_mac, created_at, expires_at)
VALUES (@aid, @purpose, @token_mac, @created_at, @expires_at)
ON CONFLICT (aid, purpose) DO UPDATE SET token_mac = excluded.token_mac, created_at = excluded.created_at, expires_at = excluded.expires_at;

-- name: GetEmailToken :one
SELECT aid, purpose, expires_at FROM pds_tenant.email_token WHERE token_mac = @token_mac;

-- name: DeleteEmailToken :one
-- Single use: of two who come with the same token, one deletes it and the other finds nothing.
DELETE FROM pds_tenant.email_token WHERE token_mac = @token_mac RETURNING aid, purpose, expires_at;

-- name: DeleteEmailTokensOf :exec
DELETE FROM pds_tenant.email_token WHERE aid = @aid;

-- name: DeleteExpiredEmailTokens :execrows
DELETE FROM pds_tenant.email_token WHERE (aid, purpose) IN (
  SELECT e.aid, e.purpose FROM pds_tenant.email_token e WHERE e.expires_at <= @before::timestamptz
  ORDER BY e.expires_at LIMIT @max_rows::int);

-- name: DeleteEmailTokenOf :exec
DELETE FROM pds_tenant.email_token WHERE aid = @aid AND purpose = @purpose;

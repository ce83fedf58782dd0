-- name: UpsertEmailToken :one
-- One that is there, not older than keep_from and still good, stays and lives on; else the new one takes its place. Only
-- for the address that it goes to: the lock has a change of address come either before, and nothing is stored, or after,
-- and the token is deleted with the others.
INSERT INTO pds_tenant.email_token AS t (aid, purpose, token_mac, created_at, expires_at)
SELECT c.aid, @purpose, @token_mac, @created_at, @expires_at
FROM pds_tenant.account c WHERE c.aid = @aid AND c.email = @email::text FOR SHARE
ON CONFLICT (aid, purpose) DO UPDATE SET
  token_mac = CASE WHEN t.expires_at > excluded.created_at AND t.created_at >= @keep_from THEN t.token_mac ELSE excluded.token_mac END,
  created_at = CASE WHEN t.expires_at > excluded.created_at AND t.created_at >= @keep_from THEN t.created_at ELSE excluded.created_at END,
  expires_at = excluded.expires_at
RETURNING token_mac, created_at;

-- name: UpdateEmailTokenRevived :exec
-- What was mailed last is good again, unless it is older than keep_from.
UPDATE pds_tenant.email_token SET expires_at = @expires_at::timestamptz
WHERE aid = @aid AND purpose = @purpose AND created_at >= @keep_from::timestamptz AND expires_at < @expires_at::timestamptz;

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

-- name: InsertRefreshToken :exec
-- Behind LockSessionEpoch.
INSERT INTO pds_tenant.refresh_token (token_id, aid, expires_at, app_password_name, created_at)
VALUES (@token_id, @aid, @expires_at, @app_password_name, @created_at);

-- name: LockRefreshToken :one
-- Two uses of one token at once wait for each other here, so that both get the same next token.
SELECT token_id, aid, expires_at, next_id, app_password_name FROM pds_tenant.refresh_token
WHERE token_id = @token_id
FOR UPDATE;

-- name: GetRefreshToken :one
SELECT token_id, aid, expires_at, next_id, app_password_name FROM pds_tenant.refresh_token
WHERE token_id = @token_id;

-- name: LockRefreshTokensOf :many
-- Before a session is ended: a rotation that is on its way ends first, and its new token is seen.
SELECT token_id FROM pds_tenant.refresh_token WHERE aid = @aid ORDER BY token_id FOR UPDATE;

-- name: UpdateRefreshTokenUsed :exec
-- First use: the next token's id is fixed and the life of this one shortened to the grace.
UPDATE pds_tenant.refresh_token SET next_id = @next_id::text, expires_at = @expires_at
WHERE token_id = @token_id;

-- name: DeleteRefreshTokenChain :execrows
-- A session's tokens are a chain by next_id. Those before this one may be in their grace, those after it may be ones
-- whose answer the client never got: signing out ends them all, or a used token would bring the session back.
WITH RECURSIVE chain AS (
  SELECT r.token_id, r.next_id FROM pds_tenant.refresh_token r WHERE r.token_id = @token_id AND r.aid = @aid
  UNION
  SELECT r.token_id, r.next_id FROM pds_tenant.refresh_token r
  JOIN chain c ON r.token_id = c.next_id OR r.next_id = c.token_id
  WHERE r.aid = @aid
)
DELETE FROM pds_tenant.refresh_token d USING chain c WHERE d.token_id = c.token_id;

-- name: DeleteRefreshTokens :execrows
DELETE FROM pds_tenant.refresh_token WHERE aid = @aid;

-- name: DeleteExpiredRefreshTokensOf :execrows
DELETE FROM pds_tenant.refresh_token WHERE aid = @aid AND expires_at <= @now::timestamptz;

-- name: DeleteExpiredRefreshTokens :execrows
-- A slice at a time, so that the job never holds many row locks.
DELETE FROM pds_tenant.refresh_token WHERE token_id IN (
  SELECT r.token_id FROM pds_tenant.refresh_token r WHERE r.expires_at <= @now::timestamptz
  ORDER BY r.expires_at LIMIT @max_rows::int);

-- name: DeleteMainRefreshTokens :execrows
-- Of the main password; sessions of app passwords go on.
DELETE FROM pds_tenant.refresh_token WHERE aid = @aid AND app_password_name IS NULL;

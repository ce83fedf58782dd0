-- Mailed tokens: items of kind 4, looked up by their MAC.

-- name: UpsertEmailToken :one
-- One that is there, not older than keep_from and still good, stays and lives on; else the new one takes its place. Only
-- for the address that it goes to: the lock has a change of address come either before, and nothing is stored, or after,
-- and the token is deleted with the others.
INSERT INTO pds_tenant.account_item AS t (aid, kind, key, lookup, created_at, due_at)
SELECT c.aid, 4, convert_to(@purpose::text, 'UTF8'), @token_mac::bytea, @created_at, @expires_at::timestamptz
FROM pds_tenant.account c WHERE c.aid = @aid AND c.email = @email::text FOR SHARE
ON CONFLICT (aid, kind, key) DO UPDATE SET
  lookup = CASE WHEN t.due_at > excluded.created_at AND t.created_at >= @keep_from THEN t.lookup ELSE excluded.lookup END,
  created_at = CASE WHEN t.due_at > excluded.created_at AND t.created_at >= @keep_from THEN t.created_at ELSE excluded.created_at END,
  due_at = excluded.due_at
RETURNING lookup AS token_mac, created_at;

-- name: UpdateEmailTokenRevived :exec
-- What was mailed last is good again, unless it is older than keep_from.
UPDATE pds_tenant.account_item SET due_at = @expires_at::timestamptz
WHERE aid = @aid AND kind = 4 AND key = convert_to(@purpose::text, 'UTF8') AND created_at >= @keep_from::timestamptz
  AND coalesce(due_at, 'infinity') < @expires_at::timestamptz;

-- name: GetEmailToken :one
SELECT aid, convert_from(key, 'UTF8')::text AS purpose, due_at::timestamptz AS expires_at FROM pds_tenant.account_item
WHERE kind = 4 AND lookup = @token_mac::bytea;

-- name: DeleteEmailToken :one
-- Single use: of two who come with the same token, one deletes it and the other finds nothing.
DELETE FROM pds_tenant.account_item WHERE kind = 4 AND lookup = @token_mac::bytea
RETURNING aid, convert_from(key, 'UTF8')::text AS purpose, due_at::timestamptz AS expires_at;

-- name: DeleteEmailTokensOf :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 4;

-- name: DeleteExpiredEmailTokens :execrows
DELETE FROM pds_tenant.account_item WHERE kind = 4 AND (aid, key) IN (
  SELECT e.aid, e.key FROM pds_tenant.account_item e WHERE e.kind = 4 AND e.due_at <= @before::timestamptz
  ORDER BY e.due_at LIMIT @max_rows::int);

-- name: DeleteEmailTokenOf :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 4 AND key = convert_to(@purpose::text, 'UTF8');

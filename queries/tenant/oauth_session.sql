-- name: InsertOAuthSession :exec
INSERT INTO pds_tenant.oauth_session (id, aid, epoch, client_id, client_name, client_key, jkt, granted, scope, code, device, generation, created_at, rotated_at, ends_at, expires_at)
VALUES (@id, @aid, @epoch, @client_id, @client_name, @client_key, @jkt, @granted, @scope, @code, @device, 1, @now, @now, @ends_at, @expires_at);

-- name: GetOAuthSession :one
SELECT s.aid, a.did, s.epoch, s.client_id, s.jkt, s.scope, s.generation, s.expires_at
FROM pds_tenant.oauth_session s JOIN pds_tenant.actor a USING (aid) WHERE s.id = @id;

-- name: GetOAuthSessionWhole :one
SELECT s.id, s.aid, a.did, s.epoch, s.client_id, s.client_key, s.jkt, s.granted, s.scope, s.device, s.generation, s.created_at, s.rotated_at, s.ends_at, s.expires_at
FROM pds_tenant.oauth_session s JOIN pds_tenant.actor a USING (aid) WHERE s.id = @id;

-- name: LockOAuthSession :one
SELECT s.id, s.aid, s.epoch, s.client_id, s.client_key, s.jkt, s.granted, s.scope, s.device, s.generation, s.created_at, s.rotated_at, s.ends_at, s.expires_at
FROM pds_tenant.oauth_session s WHERE s.id = @id
FOR UPDATE;

-- name: LockOAuthSessionByCode :one
SELECT s.id, s.aid, s.client_id, s.client_key, s.jkt, s.device, s.created_at FROM pds_tenant.oauth_session s WHERE s.code = @code
FOR UPDATE;

-- name: UpdateOAuthSessionRotated :exec
UPDATE pds_tenant.oauth_session SET generation = @generation, scope = @scope, client_key = @client_key, rotated_at = @now, expires_at = @expires_at WHERE id = @id;

-- name: ListOAuthSessionsOf :many
SELECT s.id, s.client_id, s.client_name, s.granted, s.scope, s.device, s.created_at, s.rotated_at, s.expires_at
FROM pds_tenant.oauth_session s JOIN pds_tenant.actor a USING (aid)
WHERE s.aid = @aid AND s.epoch = a.session_epoch AND s.expires_at > @now::timestamptz
ORDER BY s.rotated_at DESC, s.id LIMIT @max_rows::int;

-- name: CountOAuthSessionsOf :one
SELECT count(*) FROM pds_tenant.oauth_session WHERE aid = @aid;

-- name: DeleteOldestOAuthSessionsOf :execrows
-- More than an account may have: those that were not used for longest go.
DELETE FROM pds_tenant.oauth_session WHERE id IN (
  SELECT s.id FROM pds_tenant.oauth_session s WHERE s.aid = @aid ORDER BY s.rotated_at DESC, s.id OFFSET @keep::int);

-- name: DeleteOAuthSession :execrows
DELETE FROM pds_tenant.oauth_session WHERE id = @id;

-- name: DeleteOAuthSessionOf :execrows
DELETE FROM pds_tenant.oauth_session WHERE id = @id AND aid = @aid;

-- name: DeleteOAuthSessionsOf :execrows
DELETE FROM pds_tenant.oauth_session WHERE aid = @aid;

-- name: DeleteExpiredOAuthSessions :execrows
DELETE FROM pds_tenant.oauth_session WHERE id IN (
  SELECT s.id FROM pds_tenant.oauth_session s WHERE s.expires_at <= @before::timestamptz LIMIT @max_rows::int);

-- name: UpdateOAuthSessionsKept :exec
-- Clients stay connected where only the sessions of the main password were ended.
UPDATE pds_tenant.oauth_session s SET epoch = s.epoch + 1 FROM pds_tenant.actor a
WHERE s.aid = @aid AND a.aid = s.aid AND s.epoch = a.session_epoch - 1;

-- name: DeleteOAuthSessionsOfClient :execrows
DELETE FROM pds_tenant.oauth_session WHERE aid = @aid AND client_id = @client_id;

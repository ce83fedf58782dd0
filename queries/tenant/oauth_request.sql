-- name: InsertOAuthRequest :exec
INSERT INTO pds_tenant.oauth_request (id, client_id, params, client_key, created_at, expires_at)
VALUES (@id, @client_id, @params, @client_key, @created_at, @expires_at);

-- name: GetOAuthRequest :one
SELECT id, client_id, params, client_key, device, aid, created_at, expires_at FROM pds_tenant.oauth_request
WHERE id = @id AND code IS NULL;

-- name: UpdateOAuthRequestSeen :exec
UPDATE pds_tenant.oauth_request SET expires_at = @expires_at WHERE id = @id AND code IS NULL AND expires_at > @now::timestamptz;

-- name: LockOAuthRequest :one
SELECT id, client_id, params, client_key, device, aid, created_at, expires_at FROM pds_tenant.oauth_request
WHERE id = @id AND code IS NULL
FOR UPDATE;

-- name: UpdateOAuthRequestDevice :exec
UPDATE pds_tenant.oauth_request SET device = @device::bytea WHERE id = @id;

-- name: UpdateOAuthRequestGranted :exec
UPDATE pds_tenant.oauth_request SET aid = @aid, granted = @granted, code = @code::bytea, device = @device::bytea, expires_at = @expires_at WHERE id = @id;

-- name: LockOAuthRequestByCode :one
SELECT id, client_id, params, client_key, device, aid, granted, expires_at FROM pds_tenant.oauth_request
WHERE code = @code::bytea
FOR UPDATE;

-- name: DeleteOAuthRequest :execrows
DELETE FROM pds_tenant.oauth_request WHERE id = @id;

-- name: DeleteOAuthRequestsOf :exec
DELETE FROM pds_tenant.oauth_request WHERE aid = @aid AND aid > 0;

-- name: DeleteExpiredOAuthRequests :execrows
DELETE FROM pds_tenant.oauth_request WHERE id IN (
  SELECT r.id FROM pds_tenant.oauth_request r WHERE r.expires_at <= @before::timestamptz LIMIT @max_rows::int);

-- name: GetOAuthRequestGranted :one
SELECT r.granted, a.did FROM pds_tenant.oauth_request r JOIN pds_tenant.actor a USING (aid) WHERE r.code = @code::bytea;

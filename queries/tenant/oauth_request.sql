-- Items of kind 16.

-- name: InsertOAuthRequest :exec
INSERT INTO pds_tenant.tenant_item (kind, key, label, value, note, created_at, due_at)
VALUES (16, @id, @client_id, @params, @client_key, @created_at, @expires_at::timestamptz);

-- name: GetOAuthRequest :one
SELECT key AS id, label AS client_id, value AS params, note AS client_key, info AS device, aid, created_at, due_at::timestamptz AS expires_at
FROM pds_tenant.tenant_item
WHERE kind = 16 AND key = @id AND lookup IS NULL;

-- name: UpdateOAuthRequestSeen :exec
UPDATE pds_tenant.tenant_item SET due_at = @expires_at::timestamptz WHERE kind = 16 AND key = @id AND lookup IS NULL AND coalesce(due_at, 'infinity') > @now::timestamptz;

-- name: LockOAuthRequest :one
SELECT key AS id, label AS client_id, value AS params, note AS client_key, info AS device, aid, created_at, due_at::timestamptz AS expires_at
FROM pds_tenant.tenant_item
WHERE kind = 16 AND key = @id AND lookup IS NULL
FOR UPDATE;

-- name: UpdateOAuthRequestDevice :exec
UPDATE pds_tenant.tenant_item SET info = @device::bytea WHERE kind = 16 AND key = @id;

-- name: UpdateOAuthRequestGranted :exec
UPDATE pds_tenant.tenant_item SET aid = @aid, extra = @granted, lookup = @code::bytea, info = @device::bytea, due_at = @expires_at::timestamptz
WHERE kind = 16 AND key = @id;

-- name: LockOAuthRequestByCode :one
SELECT key AS id, label AS client_id, value AS params, note AS client_key, info AS device, aid, extra AS granted, due_at::timestamptz AS expires_at
FROM pds_tenant.tenant_item
WHERE kind = 16 AND lookup = @code::bytea
FOR UPDATE;

-- name: DeleteOAuthRequest :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 16 AND key = @id;

-- name: DeleteOAuthRequestsOf :exec
-- By reading through all requests: each is there for minutes.
DELETE FROM pds_tenant.tenant_item WHERE kind = 16 AND aid = @aid AND aid > 0;

-- name: DeleteExpiredOAuthRequests :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 16 AND key IN (
  SELECT r.key FROM pds_tenant.tenant_item r WHERE r.kind = 16 AND r.due_at <= @before::timestamptz LIMIT @max_rows::int);

-- name: GetOAuthRequestGranted :one
SELECT r.extra AS granted, a.did FROM pds_tenant.tenant_item r JOIN pds_tenant.actor a USING (aid) WHERE r.kind = 16 AND r.lookup = @code::bytea;

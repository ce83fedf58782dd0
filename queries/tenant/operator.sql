-- Operators are items of kind 9, their tokens items of kind 10.

-- name: InsertOperator :exec
-- A token that came at the very moment in which an operator of this name was deleted must not be this one's.
WITH left_over AS (
  DELETE FROM pds_tenant.tenant_item t WHERE t.kind = 10 AND t.lookup = convert_to(@name::text, 'UTF8')
)
INSERT INTO pds_tenant.tenant_item (kind, key, flags, label, created_at) VALUES (9, convert_to(@name::text, 'UTF8'), @role, @created_by, @created_at);

-- name: UpdateOperatorRole :execrows
UPDATE pds_tenant.tenant_item SET flags = @role WHERE kind = 9 AND key = convert_to(@name::text, 'UTF8');

-- name: DeleteOperator :execrows
WITH tokens AS (
  DELETE FROM pds_tenant.tenant_item t WHERE t.kind = 10 AND t.lookup = convert_to(@name::text, 'UTF8')
)
DELETE FROM pds_tenant.tenant_item o WHERE o.kind = 9 AND o.key = convert_to(@name::text, 'UTF8');

-- name: ListOperators :many
SELECT convert_from(o.key, 'UTF8')::text AS name, o.flags AS role, o.label AS created_by, o.created_at,
  (SELECT count(*) FROM pds_tenant.tenant_item t WHERE t.kind = 10 AND t.lookup = o.key AND (t.due_at IS NULL OR t.due_at > @now::timestamptz))::int AS tokens
FROM pds_tenant.tenant_item o WHERE o.kind = 9 ORDER BY o.key LIMIT @max_rows::int;

-- name: InsertOperatorToken :execrows
INSERT INTO pds_tenant.tenant_item (kind, key, lookup, value, label, created_at, due_at)
SELECT 10, @token_hash::bytea, o.key, @token_id::text, @label::text, @created_at::timestamptz, sqlc.narg(expires_at)::timestamptz
FROM pds_tenant.tenant_item o WHERE o.kind = 9 AND o.key = convert_to(@name::text, 'UTF8') FOR KEY SHARE;

-- name: ListOperatorTokens :many
SELECT value AS token_id, convert_from(lookup, 'UTF8')::text AS name, label, created_at, due_at AS expires_at, used_at AS last_used_at
FROM pds_tenant.tenant_item
WHERE kind = 10 AND lookup = convert_to(@name::text, 'UTF8') ORDER BY created_at LIMIT @max_rows::int;

-- name: DeleteOperatorToken :execrows
-- By reading all tokens that operators have.
DELETE FROM pds_tenant.tenant_item WHERE kind = 10 AND value = @token_id;

-- name: GetOperatorByToken :one
SELECT convert_from(o.key, 'UTF8')::text AS name, o.flags AS role, t.due_at AS expires_at, t.used_at AS last_used_at
FROM pds_tenant.tenant_item t JOIN pds_tenant.tenant_item o ON o.kind = 9 AND o.key = t.lookup
WHERE t.kind = 10 AND t.key = @token_hash;

-- name: UpdateOperatorTokenUsed :exec
UPDATE pds_tenant.tenant_item SET used_at = @now::timestamptz WHERE kind = 10 AND key = @token_hash;

-- name: DeleteExpiredOperatorTokens :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 10 AND key IN (
  SELECT t.key FROM pds_tenant.tenant_item t WHERE t.kind = 10 AND t.due_at <= @before::timestamptz
  ORDER BY t.due_at LIMIT @max_rows::int);

-- name: GetOperator :one
SELECT flags AS role, label AS created_by, created_at FROM pds_tenant.tenant_item WHERE kind = 9 AND key = convert_to(@name::text, 'UTF8');

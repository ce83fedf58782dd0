-- name: InsertOperator :exec
INSERT INTO pds_tenant.operator (name, role, created_by, created_at) VALUES (@name, @role, @created_by, @created_at);

-- name: UpdateOperatorRole :execrows
UPDATE pds_tenant.operator SET role = @role WHERE name = @name;

-- name: DeleteOperator :execrows
DELETE FROM pds_tenant.operator WHERE name = @name;

-- name: ListOperators :many
SELECT o.name, o.role, o.created_by, o.created_at,
  (SELECT count(*) FROM pds_tenant.operator_token t WHERE t.name = o.name AND (t.expires_at IS NULL OR t.expires_at > @now::timestamptz))::int AS tokens
FROM pds_tenant.operator o ORDER BY o.name LIMIT @max_rows::int;

-- name: InsertOperatorToken :execrows
INSERT INTO pds_tenant.operator_token (token_hash, token_id, name, label, created_at, expires_at)
SELECT @token_hash, @token_id, o.name, @label, @created_at, sqlc.narg(expires_at)::timestamptz
FROM pds_tenant.operator o WHERE o.name = @name;

-- name: ListOperatorTokens :many
SELECT token_id, name, label, created_at, expires_at, last_used_at FROM pds_tenant.operator_token
WHERE name = @name ORDER BY created_at LIMIT @max_rows::int;

-- name: DeleteOperatorToken :execrows
DELETE FROM pds_tenant.operator_token WHERE token_id = @token_id;

-- name: GetOperatorByToken :one
SELECT o.name, o.role, t.expires_at, t.last_used_at
FROM pds_tenant.operator_token t JOIN pds_tenant.operator o ON o.name = t.name
WHERE t.token_hash = @token_hash;

-- name: UpdateOperatorTokenUsed :exec
UPDATE pds_tenant.operator_token SET last_used_at = @now::timestamptz WHERE token_hash = @token_hash;

-- name: DeleteExpiredOperatorTokens :execrows
DELETE FROM pds_tenant.operator_token WHERE token_hash IN (
  SELECT t.token_hash FROM pds_tenant.operator_token t WHERE t.expires_at <= @before::timestamptz
  ORDER BY t.expires_at LIMIT @max_rows::int);

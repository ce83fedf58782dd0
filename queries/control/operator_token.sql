-- name: InsertOperatorToken :exec
INSERT INTO control.operator_token (token_id, token_hash, label, role, tenant_id, created_by, created_at, expires_at)
VALUES (@token_id, @token_hash, @label, @role, sqlc.narg(tenant_id), @created_by, @created_at, sqlc.narg(expires_at));

-- name: GetOperatorTokenByHash :one
SELECT token_id, label, role, tenant_id, created_by, created_at, expires_at, last_used_at FROM control.operator_token WHERE token_hash = @token_hash;

-- name: UpdateOperatorTokenUsed :exec
UPDATE control.operator_token SET last_used_at = @now::timestamptz WHERE token_id = @token_id;

-- Oldest first is the order of their ids' times only by chance, so it is said.
-- name: ListOperatorTokens :many
SELECT token_id, label, role, tenant_id, created_by, created_at, expires_at, last_used_at FROM control.operator_token
WHERE token_id > @after::text ORDER BY token_id LIMIT @max_rows::int;

-- name: DeleteOperatorToken :execrows
DELETE FROM control.operator_token WHERE token_id = @token_id;

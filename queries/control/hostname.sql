-- name: GetHostname :one
SELECT * FROM control.hostname WHERE hostname = $1;

-- name: ListHostnamesOfTenant :many
SELECT * FROM control.hostname WHERE tenant_id = $1 ORDER BY kind, hostname LIMIT @max_rows::int;

-- name: ListHostnamesOfTenants :many
SELECT * FROM control.hostname WHERE tenant_id = ANY(@tenant_ids::bigint[]) ORDER BY tenant_id, kind, hostname LIMIT @max_rows::int;

-- name: InsertHostname :exec
INSERT INTO control.hostname (hostname, tenant_id, kind) VALUES ($1, $2, $3);

-- name: DeleteHostname :execrows
DELETE FROM control.hostname WHERE hostname = $1 AND tenant_id = $2;

-- name: DeleteHostnamesOfTenant :execrows
DELETE FROM control.hostname WHERE tenant_id = $1;

-- name: UpdateHostnameFormer :execrows
UPDATE control.hostname SET former_since = @since WHERE hostname = @hostname AND tenant_id = @tenant_id AND kind & 4 <> 0;

-- name: InsertTenant :exec
INSERT INTO control.tenant (tenant_id, hostname, schema_name, service_did, node_id, state, version, settings, revision, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: GetTenant :one
SELECT * FROM control.tenant WHERE tenant_id = $1;

-- name: GetTenantByHostname :one
SELECT * FROM control.tenant WHERE hostname = $1;

-- name: GetTenantBySchema :one
SELECT * FROM control.tenant WHERE schema_name = $1;

-- name: LockTenant :one
SELECT * FROM control.tenant WHERE tenant_id = $1 FOR UPDATE;

-- name: ListTenants :many
SELECT * FROM control.tenant WHERE tenant_id > @after ORDER BY tenant_id LIMIT @max_rows::int;

-- Only what the first version of the schema had: asked before it is migrated.
-- name: ListTenantTraces :many
SELECT tenant_id, hostname, service_did FROM control.tenant WHERE tenant_id > @after ORDER BY tenant_id LIMIT @max_rows::int;

-- What changed since a process last looked.
-- name: ListTenantsChangedSince :many
SELECT * FROM control.tenant WHERE revision > @revision ORDER BY revision LIMIT @max_rows::int;

-- name: CountTenants :one
SELECT count(*) FROM control.tenant;

-- The migrator's work list. A provisioning tenant (0) may not have its schema yet; a deleting one (4) needs no newer one.
-- name: ListTenantsBehind :many
SELECT tenant_id, schema_name, node_id, version FROM control.tenant
WHERE version < @version AND tenant_id > @after AND state IN (1, 2, 3)
ORDER BY tenant_id LIMIT @max_rows::int;

-- name: CountTenantsBehind :one
SELECT count(*) FROM control.tenant WHERE version < @version AND state IN (1, 2, 3);

-- The version is no news to those who follow revisions, unless they must know it.
-- name: UpdateTenantVersion :execrows
WITH news AS (
  UPDATE control.counter SET value = value + 1
  WHERE name = 'revision' AND EXISTS (SELECT 1 FROM control.tenant t WHERE t.schema_name = @schema_name::text AND t.needs < @needs::bigint)
  RETURNING value)
UPDATE control.tenant SET version = @version::bigint, needs = greatest(needs, @needs::bigint), upgrade_error = '', revision = coalesce((SELECT n.value FROM news n), revision)
WHERE schema_name = @schema_name::text;

-- name: UpdateTenantUpgradeError :execrows
UPDATE control.tenant SET upgrade_error = @upgrade_error WHERE schema_name = @schema_name;

-- name: ListTenantsNotUpgraded :many
SELECT tenant_id, hostname, version, upgrade_error FROM control.tenant
WHERE version < @version AND upgrade_error <> '' AND state IN (1, 2, 3)
ORDER BY tenant_id LIMIT @max_rows::int;

-- name: UpdateTenantState :execrows
UPDATE control.tenant SET state = @state, revision = @revision WHERE tenant_id = @tenant_id;

-- name: UpdateTenantSettings :execrows
UPDATE control.tenant SET settings = @settings, revision = @revision WHERE tenant_id = @tenant_id;

-- name: DeleteTenant :execrows
DELETE FROM control.tenant WHERE tenant_id = $1;

-- Every id there is, for a process that missed that tenants went.
-- name: ListTenantIDs :many
SELECT tenant_id FROM control.tenant WHERE tenant_id > @after ORDER BY tenant_id LIMIT @max_rows::int;

-- name: UpdateTenantHostname :execrows
UPDATE control.tenant SET hostname = @hostname, service_did = @service_did, revision = @revision WHERE tenant_id = @tenant_id;

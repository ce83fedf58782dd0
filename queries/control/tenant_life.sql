-- name: GetTenantLife :one
SELECT * FROM control.tenant_life WHERE tenant_id = $1;

-- name: UpsertTenantSuspended :exec
INSERT INTO control.tenant_life (tenant_id, suspended_at, suspend_reason) VALUES (@tenant_id, @at, @reason)
ON CONFLICT (tenant_id) DO UPDATE SET suspended_at = coalesce(tenant_life.suspended_at, excluded.suspended_at),
  suspend_reason = CASE WHEN excluded.suspend_reason = '' THEN tenant_life.suspend_reason ELSE excluded.suspend_reason END;

-- name: UpsertTenantDeleted :exec
-- A tenant that was suspended is that again if its deletion is undone.
INSERT INTO control.tenant_life (tenant_id, suspended_at, deleted_at, delete_reason, purge_at)
VALUES (@tenant_id, sqlc.narg(suspended_at)::timestamptz, @at, @reason, @purge_at)
ON CONFLICT (tenant_id) DO UPDATE SET deleted_at = excluded.deleted_at, delete_reason = excluded.delete_reason, purge_at = excluded.purge_at;

-- name: UpdateTenantUndeleted :exec
UPDATE control.tenant_life SET deleted_at = NULL, delete_reason = '', purge_at = NULL WHERE tenant_id = @tenant_id;

-- name: DeleteTenantLife :exec
DELETE FROM control.tenant_life WHERE tenant_id = $1;

-- name: ListTenantsToPurge :many
SELECT tenant_id FROM control.tenant_life WHERE purge_at <= @now::timestamptz ORDER BY purge_at, tenant_id LIMIT @max_rows::int;

-- name: DeleteQuotasReachedOfTenant :exec
DELETE FROM control.quota_reached WHERE tenant_id = $1;

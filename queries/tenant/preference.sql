-- name: GetPreference :one
SELECT value FROM pds_tenant.preference WHERE aid = @aid;

-- name: UpsertPreference :exec
INSERT INTO pds_tenant.preference (aid, value, updated_at) VALUES (@aid, @value, @updated_at)
ON CONFLICT (aid) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at;

-- name: InsertPreferenceIfAbsent :exec
-- So that there is a row to lock.
INSERT INTO pds_tenant.preference (aid, value, updated_at) VALUES (@aid, '[]', @updated_at) ON CONFLICT (aid) DO NOTHING;

-- name: LockPreference :one
SELECT value FROM pds_tenant.preference WHERE aid = @aid FOR UPDATE;

-- name: DeletePreference :exec
DELETE FROM pds_tenant.preference WHERE aid = @aid;

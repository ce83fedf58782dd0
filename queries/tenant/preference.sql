-- name: GetPreference :one
SELECT value FROM pds_tenant.preference WHERE aid = @aid;

-- name: UpsertPreference :execrows
-- None for who is being deleted meanwhile: what is private may not outlive the account.
INSERT INTO pds_tenant.preference (aid, value, updated_at)
SELECT a.aid, @value::text, @updated_at::timestamptz FROM pds_tenant.actor a WHERE a.aid = @aid AND a.creating_since IS NULL FOR KEY SHARE
ON CONFLICT (aid) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at;

-- name: InsertPreferenceIfAbsent :exec
-- So that there is a row to lock.
INSERT INTO pds_tenant.preference (aid, value, updated_at)
SELECT a.aid, '[]', @updated_at::timestamptz FROM pds_tenant.actor a WHERE a.aid = @aid AND a.creating_since IS NULL FOR KEY SHARE
ON CONFLICT (aid) DO NOTHING;

-- name: LockPreference :one
SELECT value FROM pds_tenant.preference WHERE aid = @aid FOR UPDATE;

-- name: DeletePreference :exec
DELETE FROM pds_tenant.preference WHERE aid = @aid;

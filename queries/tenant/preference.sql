-- Items of kind 9.

-- name: GetPreference :one
SELECT value FROM pds_tenant.account_item WHERE aid = @aid AND kind = 9 AND key = '';

-- name: UpsertPreference :execrows
-- None for who is being deleted meanwhile: what is private may not outlive the account.
INSERT INTO pds_tenant.account_item (aid, kind, value, created_at)
SELECT a.aid, 9, @value::text, @updated_at::timestamptz FROM pds_tenant.actor a WHERE a.aid = @aid AND a.creating_since IS NULL FOR KEY SHARE
ON CONFLICT (aid, kind, key) DO UPDATE SET value = excluded.value, created_at = excluded.created_at;

-- name: InsertPreferenceIfAbsent :exec
-- So that there is a row to lock.
INSERT INTO pds_tenant.account_item (aid, kind, value, created_at)
SELECT a.aid, 9, '[]', @updated_at::timestamptz FROM pds_tenant.actor a WHERE a.aid = @aid AND a.creating_since IS NULL FOR KEY SHARE
ON CONFLICT (aid, kind, key) DO NOTHING;

-- name: LockPreference :one
SELECT value FROM pds_tenant.account_item WHERE aid = @aid AND kind = 9 AND key = '' FOR UPDATE;

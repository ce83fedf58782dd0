-- Items of kind 6.

-- name: UpsertTrustedBrowser :exec
-- One that is no device any more is not trusted.
INSERT INTO pds_tenant.account_item (aid, kind, key, lookup, created_at, due_at)
SELECT a.aid, 6, d.key, d.key, @now::timestamptz, @expires_at::timestamptz
FROM pds_tenant.actor a, pds_tenant.tenant_item d WHERE a.aid = @aid AND d.kind = 15 AND d.key = @device::bytea FOR KEY SHARE
ON CONFLICT (aid, kind, key) DO UPDATE SET created_at = excluded.created_at, due_at = excluded.due_at;

-- name: GetTrustedBrowser :one
SELECT due_at::timestamptz AS expires_at FROM pds_tenant.account_item WHERE aid = @aid AND kind = 6 AND key = @device::bytea;

-- name: ListTrustedBrowsers :many
SELECT b.key AS device, b.created_at AS trusted_at, b.due_at::timestamptz AS expires_at, d.label AS agent, d.value AS address FROM pds_tenant.account_item b
JOIN pds_tenant.tenant_item d ON d.kind = 15 AND d.key = b.key
WHERE b.aid = @aid AND b.kind = 6 AND coalesce(b.due_at, 'infinity') > @now::timestamptz
ORDER BY b.created_at DESC, b.key LIMIT @max_rows::int;

-- name: DeleteTrustedBrowser :execrows
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 6 AND key = @device::bytea;

-- name: DeleteTrustedBrowsersOf :execrows
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 6;

-- name: DeleteExpiredTrustedBrowsersOf :exec
-- Whoever adds a row clears up behind it. Devices that nobody uses any more take theirs along.
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 6 AND coalesce(due_at, 'infinity') <= @now::timestamptz;

-- name: UpsertTrustedBrowser :exec
INSERT INTO pds_tenant.trusted_browser (aid, device, trusted_at, expires_at) VALUES (@aid, @device, @now, @expires_at)
ON CONFLICT (aid, device) DO UPDATE SET trusted_at = excluded.trusted_at, expires_at = excluded.expires_at;

-- name: GetTrustedBrowser :one
SELECT expires_at FROM pds_tenant.trusted_browser WHERE aid = @aid AND device = @device;

-- name: ListTrustedBrowsers :many
SELECT b.device, b.trusted_at, b.expires_at, d.agent, d.address FROM pds_tenant.trusted_browser b
JOIN pds_tenant.device d ON d.id = b.device
WHERE b.aid = @aid AND b.expires_at > @now::timestamptz ORDER BY b.trusted_at DESC, b.device LIMIT @max_rows::int;

-- name: DeleteTrustedBrowser :execrows
DELETE FROM pds_tenant.trusted_browser WHERE aid = @aid AND device = @device;

-- name: DeleteTrustedBrowsersOf :execrows
DELETE FROM pds_tenant.trusted_browser WHERE aid = @aid;

-- name: DeleteExpiredTrustedBrowsersOf :exec
-- Whoever adds a row clears up behind it. Devices that nobody uses any more take theirs along.
DELETE FROM pds_tenant.trusted_browser WHERE aid = @aid AND expires_at <= @now::timestamptz;

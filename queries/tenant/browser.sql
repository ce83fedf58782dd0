-- name: GetBrowser :one
SELECT proven_at, trusted_until FROM pds_tenant.browser WHERE aid = @aid AND device = @device;

-- name: UpsertBrowserProven :exec
INSERT INTO pds_tenant.browser (aid, device, proven_at, agent, address) VALUES (@aid, @device, @now::timestamptz, @agent, @address)
ON CONFLICT (aid, device) DO UPDATE SET proven_at = excluded.proven_at;

-- name: UpsertBrowserTrusted :exec
INSERT INTO pds_tenant.browser AS b (aid, device, trusted_at, trusted_until, agent, address)
VALUES (@aid, @device, @now::timestamptz, @until::timestamptz, @agent, @address)
ON CONFLICT (aid, device) DO UPDATE SET trusted_at = excluded.trusted_at, trusted_until = excluded.trusted_until,
  agent = excluded.agent, address = excluded.address;

-- name: ListTrustedBrowsers :many
SELECT device, trusted_at::timestamptz AS trusted_at, trusted_until::timestamptz AS trusted_until, agent, address FROM pds_tenant.browser
WHERE aid = @aid AND trusted_until > @now::timestamptz ORDER BY trusted_at DESC, device LIMIT @max_rows::int;

-- name: DeleteBrowser :execrows
DELETE FROM pds_tenant.browser WHERE aid = @aid AND device = @device;

-- name: UpdateBrowsersDistrusted :execrows
UPDATE pds_tenant.browser SET trusted_at = NULL, trusted_until = NULL WHERE aid = @aid AND trusted_until IS NOT NULL;

-- name: UpdateBrowserDistrusted :execrows
UPDATE pds_tenant.browser SET trusted_at = NULL, trusted_until = NULL WHERE aid = @aid AND device = @device AND trusted_until IS NOT NULL;

-- name: DeleteOldBrowsers :exec
-- What counts for nothing any more, of one account: whoever adds a row clears up behind it.
DELETE FROM pds_tenant.browser WHERE aid = @aid AND coalesce(proven_at, '-infinity') < @proven_before::timestamptz
  AND coalesce(trusted_until, '-infinity') <= @now::timestamptz;

-- name: DeleteBrowsersOf :exec
DELETE FROM pds_tenant.browser WHERE aid = @aid;

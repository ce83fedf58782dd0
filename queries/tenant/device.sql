-- name: GetDevice :one
SELECT id, session, former, rotated_at, created_at, agent, address FROM pds_tenant.device
WHERE id = @id AND expires_at > @now::timestamptz;

-- name: LockDevice :one
SELECT id, session, former, rotated_at, created_at, agent, address FROM pds_tenant.device
WHERE id = @id AND expires_at > @now::timestamptz
FOR UPDATE;

-- name: UpsertDevice :exec
-- One whose time is over begins anew.
INSERT INTO pds_tenant.device (id, session, rotated_at, created_at, expires_at, agent, address)
VALUES (@id, @session, @now, @now, @expires_at, @agent, @address)
ON CONFLICT (id) DO UPDATE SET session = excluded.session, former = NULL, rotated_at = excluded.rotated_at,
  created_at = excluded.created_at, expires_at = excluded.expires_at, agent = excluded.agent, address = excluded.address;

-- name: UpdateDeviceSession :execrows
-- Of two requests that rotate at once, the second finds another session, and changes nothing.
UPDATE pds_tenant.device SET session = @fresh, former = @session, rotated_at = @now, expires_at = @expires_at,
  agent = @agent, address = @address
WHERE id = @id AND session = @session;

-- name: DeleteDevice :exec
DELETE FROM pds_tenant.device WHERE id = @id;

-- name: DeleteExpiredDevices :execrows
DELETE FROM pds_tenant.device WHERE id IN (
  SELECT d.id FROM pds_tenant.device d WHERE d.expires_at <= @now::timestamptz LIMIT @max_rows::int);

-- name: UpsertDeviceAccount :exec
INSERT INTO pds_tenant.device_account (aid, device, request, epoch, remembered, signed_in_at, proven_at, expires_at)
VALUES (@aid, @device, @request, @epoch, @remembered, @now, @now, @expires_at)
ON CONFLICT (aid, device, request) DO UPDATE SET epoch = excluded.epoch, remembered = excluded.remembered,
  signed_in_at = excluded.signed_in_at, proven_at = excluded.proven_at, expires_at = excluded.expires_at;

-- name: UpdateDeviceAccountProven :execrows
UPDATE pds_tenant.device_account SET proven_at = @now
WHERE aid = @aid AND device = @device AND request = @request AND epoch = @epoch AND expires_at > @now;

-- name: UpdateDeviceAccountsSeen :exec
-- Sign-ins that are not remembered last while they are used.
UPDATE pds_tenant.device_account SET expires_at = @expires_at
WHERE device = @device AND NOT remembered AND request = '' AND expires_at > @now::timestamptz;

-- name: ListDeviceAccounts :many
-- Who is signed in on a device, with what every page needs to know of them.
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, c.email, s.request, s.epoch, s.remembered, s.signed_in_at,
  s.proven_at, s.expires_at
FROM pds_tenant.device_account s
JOIN pds_tenant.actor a ON a.aid = s.aid AND a.session_epoch = s.epoch AND a.creating_since IS NULL
LEFT JOIN pds_tenant.account c ON c.aid = s.aid
WHERE s.device = @device AND s.expires_at > @now::timestamptz
ORDER BY s.signed_in_at DESC, a.aid LIMIT @max_rows::int;

-- name: ListDevicesOf :many
SELECT d.id, d.agent, d.address, d.rotated_at, d.created_at, s.remembered, s.signed_in_at
FROM pds_tenant.device_account s
JOIN pds_tenant.actor a ON a.aid = s.aid AND a.session_epoch = s.epoch
JOIN pds_tenant.device d ON d.id = s.device AND d.expires_at > @now::timestamptz
WHERE s.aid = @aid AND s.expires_at > @now::timestamptz
ORDER BY d.rotated_at DESC, d.id LIMIT @max_rows::int;

-- name: DeleteDeviceAccount :execrows
DELETE FROM pds_tenant.device_account WHERE aid = @aid AND device = @device;

-- name: DeleteDeviceAccountsOf :exec
DELETE FROM pds_tenant.device_account WHERE aid = @aid;

-- name: DeleteDeviceAccountsElsewhere :execrows
DELETE FROM pds_tenant.device_account WHERE aid = @aid AND device <> @device;

-- name: DeleteDeviceAccountsBeyond :exec
-- An account's sign-ins beyond the newest so many.
DELETE FROM pds_tenant.device_account WHERE aid = @aid::bigint AND (device, request) IN (
  SELECT s.device, s.request FROM pds_tenant.device_account s WHERE s.aid = @aid::bigint
  ORDER BY s.signed_in_at DESC, s.device, s.request OFFSET @kept::int);

-- name: DeleteExpiredDeviceAccounts :execrows
DELETE FROM pds_tenant.device_account WHERE (aid, device, request) IN (
  SELECT s.aid, s.device, s.request FROM pds_tenant.device_account s WHERE s.expires_at <= @now::timestamptz LIMIT @max_rows::int);

-- name: UpdateDeviceAccountsKept :exec
-- Browsers stay signed in where only the sessions of apps were ended.
UPDATE pds_tenant.device_account s SET epoch = s.epoch + 1 FROM pds_tenant.actor a
WHERE s.aid = @aid AND a.aid = s.aid AND s.epoch = a.session_epoch - 1;

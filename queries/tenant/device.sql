-- Devices are items of kind 15.

-- name: GetDevice :one
SELECT key AS id, secret AS session, info AS former, used_at::timestamptz AS rotated_at, created_at, label AS agent, value AS address
FROM pds_tenant.tenant_item
WHERE kind = 15 AND key = @id AND coalesce(due_at, 'infinity') > @now::timestamptz;

-- name: LockDevice :one
SELECT key AS id, secret AS session, info AS former, used_at::timestamptz AS rotated_at, created_at, label AS agent, value AS address
FROM pds_tenant.tenant_item
WHERE kind = 15 AND key = @id AND coalesce(due_at, 'infinity') > @now::timestamptz
FOR UPDATE;

-- name: UpsertDevice :exec
-- One whose time is over begins anew.
INSERT INTO pds_tenant.tenant_item (kind, key, secret, used_at, created_at, due_at, label, value)
VALUES (15, @id, @session, @now::timestamptz, @now::timestamptz, @expires_at::timestamptz, @agent, @address)
ON CONFLICT (kind, key) DO UPDATE SET secret = excluded.secret, info = NULL, used_at = excluded.used_at,
  created_at = excluded.created_at, due_at = excluded.due_at, label = excluded.label, value = excluded.value;

-- name: UpdateDeviceSession :execrows
-- Of two requests that rotate at once, the second finds another session, and changes nothing.
UPDATE pds_tenant.tenant_item SET secret = @fresh::bytea, info = @session::bytea, used_at = @now::timestamptz, due_at = @expires_at::timestamptz,
  label = @agent, value = @address
WHERE kind = 15 AND key = @id AND secret = @session::bytea;

-- name: DeleteDevice :exec
-- Behind LockDeviceAny: with what accounts have on it.
WITH items AS (
  DELETE FROM pds_tenant.account_item i WHERE i.kind IN (6, 7) AND i.lookup = @id
)
DELETE FROM pds_tenant.tenant_item d WHERE d.kind = 15 AND d.key = @id;

-- name: LockDeviceAny :exec
-- Also one whose time is over: who signs in or is trusted there comes before or after.
SELECT key FROM pds_tenant.tenant_item WHERE kind = 15 AND key = @id FOR UPDATE;

-- name: DeleteExpiredDevices :execrows
-- Nobody signs in on one that has expired: it begins anew, and is passed over then.
WITH gone AS (
  SELECT d.key FROM pds_tenant.tenant_item d WHERE d.kind = 15 AND d.due_at <= @now::timestamptz LIMIT @max_rows::int FOR UPDATE SKIP LOCKED
), items AS (
  DELETE FROM pds_tenant.account_item i WHERE i.kind IN (6, 7) AND i.lookup = ANY (ARRAY(SELECT g.key FROM gone g))
)
DELETE FROM pds_tenant.tenant_item d USING gone g WHERE d.kind = 15 AND d.key = g.key;

-- Who is signed in on a device are items of kind 7, looked up by the device.

-- name: UpsertDeviceAccount :exec
-- Behind a lock of the device and of the account's session epoch.
INSERT INTO pds_tenant.account_item (aid, kind, key, lookup, label, number, flags, created_at, noted_at, due_at)
VALUES (@aid, 7, @device::bytea || convert_to(@request::text, 'UTF8'), @device::bytea, @request::text, @epoch::bigint, CASE WHEN @remembered::boolean THEN 1 ELSE 0 END,
  @now::timestamptz, @now::timestamptz, @expires_at::timestamptz)
ON CONFLICT (aid, kind, key) DO UPDATE SET number = excluded.number, flags = excluded.flags,
  created_at = excluded.created_at, noted_at = excluded.noted_at, due_at = excluded.due_at;

-- name: UpdateDeviceAccountProven :execrows
UPDATE pds_tenant.account_item SET noted_at = @now::timestamptz
WHERE aid = @aid AND kind = 7 AND key = @device::bytea || convert_to(@request::text, 'UTF8') AND number = @epoch::bigint
  AND coalesce(due_at, 'infinity') > @now::timestamptz;

-- name: UpdateDeviceAccountsSeen :exec
-- Sign-ins that are not remembered last while they are used.
UPDATE pds_tenant.account_item SET due_at = @expires_at::timestamptz
WHERE kind = 7 AND lookup = @device::bytea AND flags = 0 AND label = '' AND due_at > @now::timestamptz;

-- name: ListDeviceAccounts :many
-- Who is signed in on a device, with what every page needs to know of them.
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, c.email, s.label AS request, s.number AS epoch, (s.flags = 1)::boolean AS remembered,
  s.created_at AS signed_in_at, s.noted_at::timestamptz AS proven_at, s.due_at::timestamptz AS expires_at
FROM pds_tenant.account_item s
JOIN pds_tenant.actor a ON a.aid = s.aid AND a.session_epoch = s.number AND a.creating_since IS NULL
LEFT JOIN pds_tenant.account c ON c.aid = s.aid
WHERE s.kind = 7 AND s.lookup = @device::bytea AND s.due_at > @now::timestamptz
ORDER BY s.created_at DESC, a.aid LIMIT @max_rows::int;

-- name: ListDevicesOf :many
SELECT d.key AS id, d.label AS agent, d.value AS address, d.used_at::timestamptz AS rotated_at, d.created_at, (s.flags = 1)::boolean AS remembered, s.created_at AS signed_in_at
FROM (SELECT i.aid, i.lookup, i.number, i.flags, i.created_at, i.due_at FROM pds_tenant.account_item i WHERE i.aid = @aid AND i.kind = 7 OFFSET 0) s
JOIN pds_tenant.actor a ON a.aid = s.aid AND a.session_epoch = s.number
JOIN pds_tenant.tenant_item d ON d.kind = 15 AND d.key = s.lookup AND coalesce(d.due_at, 'infinity') > @now::timestamptz
WHERE s.due_at > @now::timestamptz
ORDER BY d.used_at DESC, d.key LIMIT @max_rows::int;

-- name: DeleteDeviceAccount :execrows
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 7 AND lookup = @device::bytea;

-- name: DeleteDeviceAccountsOf :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 7;

-- name: DeleteDeviceAccountsElsewhere :execrows
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 7 AND coalesce(lookup, '') <> @device::bytea;

-- name: DeleteDeviceAccountsBeyond :exec
-- An account's sign-ins beyond the newest so many.
DELETE FROM pds_tenant.account_item WHERE aid = @aid::bigint AND kind = 7 AND key IN (
  SELECT s.key FROM pds_tenant.account_item s WHERE s.aid = @aid::bigint AND s.kind = 7
  ORDER BY s.created_at DESC, s.key OFFSET @kept::int);

-- name: DeleteExpiredDeviceAccounts :execrows
DELETE FROM pds_tenant.account_item WHERE kind = 7 AND (aid, key) IN (
  SELECT s.aid, s.key FROM pds_tenant.account_item s WHERE s.kind = 7 AND s.due_at <= @now::timestamptz LIMIT @max_rows::int);

-- name: UpdateDeviceAccountsKept :exec
-- Browsers stay signed in where only the sessions of apps were ended.
UPDATE pds_tenant.account_item s SET number = s.number + 1 FROM pds_tenant.actor a
WHERE s.aid = @aid AND s.kind = 7 AND a.aid = s.aid AND s.number = a.session_epoch - 1;

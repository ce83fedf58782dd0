-- Items of kind 5.

-- name: InsertAppPassword :execrows
-- Nothing when the account has as many as it may. Behind LockActor.
INSERT INTO pds_tenant.account_item (aid, kind, key, lookup, flags, created_at, due_at)
SELECT @aid, 5, convert_to(@name::text, 'UTF8'), @password_mac::bytea, CASE WHEN @privileged::boolean THEN 1 ELSE 0 END, @created_at, sqlc.narg(expires_at)::timestamptz
WHERE (SELECT count(*) FROM pds_tenant.account_item p WHERE p.aid = @aid AND p.kind = 5) < @max_rows::int;

-- name: DeleteExpiredAppPasswords :many
-- What has expired gives up its name to a new one, and its place when the account has as many as it may.
DELETE FROM pds_tenant.account_item d
WHERE d.aid = @aid AND d.kind = 5 AND coalesce(d.due_at, 'infinity') <= @now::timestamptz
  AND (d.key = convert_to(@name::text, 'UTF8') OR (SELECT count(*) FROM pds_tenant.account_item p WHERE p.aid = @aid AND p.kind = 5) >= @max_rows::int)
RETURNING convert_from(d.key, 'UTF8')::text AS name;

-- name: ListAppPasswords :many
SELECT convert_from(key, 'UTF8')::text AS name, (flags = 1)::boolean AS privileged, created_at, due_at AS expires_at, used_at AS last_used_at
FROM pds_tenant.account_item
WHERE aid = @aid AND kind = 5 ORDER BY created_at DESC, key LIMIT @max_rows::int;

-- name: GetAppPasswordByMAC :one
SELECT convert_from(key, 'UTF8')::text AS name, (flags = 1)::boolean AS privileged, due_at AS expires_at
FROM pds_tenant.account_item WHERE aid = @aid AND kind = 5 AND lookup = @password_mac::bytea;

-- name: GetAppPassword :one
SELECT convert_from(key, 'UTF8')::text AS name, (flags = 1)::boolean AS privileged, due_at AS expires_at
FROM pds_tenant.account_item WHERE aid = @aid AND kind = 5 AND key = convert_to(@name::text, 'UTF8');

-- name: UpdateAppPasswordUsed :execrows
-- Also the last look whether it is still there: its row stays locked until the session's refresh token is.
UPDATE pds_tenant.account_item SET used_at = @now::timestamptz
WHERE aid = @aid AND kind = 5 AND key = convert_to(@name::text, 'UTF8') AND lookup = @password_mac::bytea
  AND (due_at IS NULL OR due_at > @now::timestamptz);

-- name: UpdateAppPasswordSeen :execrows
UPDATE pds_tenant.account_item SET used_at = @now::timestamptz
WHERE aid = @aid AND kind = 5 AND key = convert_to(@name::text, 'UTF8') AND (due_at IS NULL OR due_at > @now::timestamptz);

-- name: DeleteAppPassword :many
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 5 AND key = convert_to(@name::text, 'UTF8') RETURNING used_at AS last_used_at;

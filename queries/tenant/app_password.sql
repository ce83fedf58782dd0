-- name: InsertAppPassword :execrows
-- Nothing when the account has as many as it may.
INSERT INTO pds_tenant.app_password (aid, name, password_mac, privileged, created_at, expires_at)
SELECT @aid, @name, @password_mac, @privileged, @created_at, sqlc.narg(expires_at)::timestamptz
WHERE (SELECT count(*) FROM pds_tenant.app_password p WHERE p.aid = @aid) < @max_rows::int;

-- name: DeleteExpiredAppPasswords :many
-- What has expired gives up its name to a new one, and its place when the account has as many as it may.
DELETE FROM pds_tenant.app_password d
WHERE d.aid = @aid AND d.expires_at <= @now::timestamptz
  AND (d.name = @name OR (SELECT count(*) FROM pds_tenant.app_password p WHERE p.aid = @aid) >= @max_rows::int)
RETURNING d.name;

-- name: ListAppPasswords :many
SELECT name, privileged, created_at, expires_at, last_used_at FROM pds_tenant.app_password
WHERE aid = @aid ORDER BY created_at DESC, name LIMIT @max_rows::int;

-- name: GetAppPasswordByMAC :one
SELECT name, privileged, expires_at FROM pds_tenant.app_password WHERE aid = @aid AND password_mac = @password_mac;

-- name: GetAppPassword :one
SELECT name, privileged, expires_at FROM pds_tenant.app_password WHERE aid = @aid AND name = @name;

-- name: UpdateAppPasswordUsed :execrows
-- Also the last look whether it is still there: its row stays locked until the session's refresh token is.
UPDATE pds_tenant.app_password SET last_used_at = @now::timestamptz
WHERE aid = @aid AND name = @name AND password_mac = @password_mac AND (expires_at IS NULL OR expires_at > @now::timestamptz);

-- name: UpdateAppPasswordSeen :execrows
UPDATE pds_tenant.app_password SET last_used_at = @now::timestamptz
WHERE aid = @aid AND name = @name AND (expires_at IS NULL OR expires_at > @now::timestamptz);

-- name: DeleteAppPassword :many
DELETE FROM pds_tenant.app_password WHERE aid = @aid AND name = @name RETURNING last_used_at;

-- name: DeleteAppPasswordsOf :exec
DELETE FROM pds_tenant.app_password WHERE aid = @aid;

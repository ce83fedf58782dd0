-- name: InsertPasskey :execrows
-- Nothing when the account has as many as it may, or has this one.
INSERT INTO pds_tenant.passkey (aid, credential_id, name, public_key, aaguid, transports, flags, sign_count, created_at)
SELECT @aid, @credential_id, @name, @public_key, @aaguid, @transports, @flags, @sign_count, @created_at
WHERE (SELECT count(*) FROM pds_tenant.passkey p WHERE p.aid = @aid) < @max_rows::int
ON CONFLICT DO NOTHING;

-- name: ListPasskeys :many
SELECT credential_id, name, public_key, aaguid, transports, flags, sign_count, warned_at, created_at, last_used_at
FROM pds_tenant.passkey WHERE aid = @aid ORDER BY created_at, credential_id LIMIT @max_rows::int;

-- name: LockPasskey :one
-- Answers of one key are looked at one after the other: its counter rises with each.
SELECT name, public_key, aaguid, transports, flags, sign_count, warned_at, created_at, last_used_at
FROM pds_tenant.passkey WHERE aid = @aid AND credential_id = @credential_id FOR NO KEY UPDATE;

-- name: UpdatePasskeyUsed :exec
UPDATE pds_tenant.passkey SET sign_count = @sign_count, flags = @flags, last_used_at = @now::timestamptz
WHERE aid = @aid AND credential_id = @credential_id;

-- name: UpdatePasskeyWarned :exec
UPDATE pds_tenant.passkey SET warned_at = @now::timestamptz WHERE aid = @aid AND credential_id = @credential_id;

-- name: UpdatePasskeyName :execrows
UPDATE pds_tenant.passkey SET name = @name WHERE aid = @aid AND credential_id = @credential_id;

-- name: DeletePasskey :one
DELETE FROM pds_tenant.passkey WHERE aid = @aid AND credential_id = @credential_id RETURNING name;

-- name: DeletePasskeysOf :exec
DELETE FROM pds_tenant.passkey WHERE aid = @aid;

-- name: CountPasskeys :one
SELECT count(*)::int FROM pds_tenant.passkey WHERE aid = @aid;

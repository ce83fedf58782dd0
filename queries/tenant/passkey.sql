-- Items of kind 3.

-- name: InsertPasskey :execrows
-- Nothing when the account has as many as it may, or has this one.
INSERT INTO pds_tenant.account_item (aid, kind, key, label, secret, info, value, flags, number, created_at)
SELECT a.aid, 3, @credential_id::bytea, @name::text, @public_key::bytea, @aaguid::bytea, @transports::text, @flags::smallint, @sign_count::bigint, @created_at::timestamptz
FROM pds_tenant.actor a
WHERE a.aid = @aid AND (SELECT count(*) FROM pds_tenant.account_item p WHERE p.aid = @aid AND p.kind = 3) < @max_rows::int
FOR KEY SHARE OF a
ON CONFLICT (aid, kind, key) DO NOTHING;

-- name: ListPasskeys :many
SELECT key AS credential_id, label AS name, secret AS public_key, info AS aaguid, value AS transports, flags, number AS sign_count,
  noted_at AS warned_at, created_at, used_at AS last_used_at
FROM pds_tenant.account_item WHERE aid = @aid AND kind = 3 ORDER BY created_at, key LIMIT @max_rows::int;

-- name: LockPasskey :one
-- Answers of one key are looked at one after the other: its counter rises with each.
SELECT label AS name, secret AS public_key, info AS aaguid, value AS transports, flags, number AS sign_count,
  noted_at AS warned_at, created_at, used_at AS last_used_at
FROM pds_tenant.account_item WHERE aid = @aid AND kind = 3 AND key = @credential_id FOR NO KEY UPDATE;

-- name: UpdatePasskeyUsed :exec
UPDATE pds_tenant.account_item SET number = @sign_count, flags = @flags, used_at = @now::timestamptz
WHERE aid = @aid AND kind = 3 AND key = @credential_id;

-- name: UpdatePasskeyWarned :exec
UPDATE pds_tenant.account_item SET noted_at = @now::timestamptz WHERE aid = @aid AND kind = 3 AND key = @credential_id;

-- name: UpdatePasskeyName :execrows
UPDATE pds_tenant.account_item SET label = @name WHERE aid = @aid AND kind = 3 AND key = @credential_id;

-- name: DeletePasskey :one
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 3 AND key = @credential_id RETURNING label AS name;

-- name: CountPasskeys :one
SELECT count(*)::int FROM pds_tenant.account_item WHERE aid = @aid AND kind = 3;

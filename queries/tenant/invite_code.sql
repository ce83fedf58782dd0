-- Codes are items of kind 3, their uses items of kind 4.

-- name: InsertInviteCode :exec
INSERT INTO pds_tenant.tenant_item (kind, key, number, tries, lookup, label, created_at, due_at)
VALUES (3, convert_to(@code::text, 'UTF8'), @uses_total::int, @uses_total::int, convert_to(@for_account::text, 'UTF8'), @created_by, @created_at, @created_at);

-- name: CountUsableInviteCodes :one
-- 1 when the code can be used now: a look before the expensive part of a sign-up. UpdateInviteCodeUsed decides.
SELECT count(*)::int FROM pds_tenant.tenant_item i
WHERE i.kind = 3 AND i.key = convert_to(@code::text, 'UTF8') AND i.tries > 0 AND i.flags = 0
  AND NOT EXISTS (SELECT 1 FROM pds_tenant.actor a WHERE a.did = convert_from(i.lookup, 'UTF8') AND a.takedown_ref IS NOT NULL);

-- name: UpdateInviteCodeUsed :execrows
-- The row lock serializes uses: of two that race for the last one, the second sees that none is left.
UPDATE pds_tenant.tenant_item i SET tries = i.tries - 1
WHERE i.kind = 3 AND i.key = convert_to(@code::text, 'UTF8') AND i.tries > 0 AND i.flags = 0
  AND NOT EXISTS (SELECT 1 FROM pds_tenant.actor a WHERE a.did = convert_from(i.lookup, 'UTF8') AND a.takedown_ref IS NOT NULL);

-- name: InsertInviteCodeUse :exec
INSERT INTO pds_tenant.tenant_item (kind, key, lookup, aid, label, used_at)
VALUES (4, convert_to(@code::text, 'UTF8') || '\x00'::bytea || int8send(@aid::bigint), int8send(@aid::bigint), @aid::bigint, @code::text, @used_at::timestamptz);

-- name: UpdateInviteCodesOrphaned :exec
-- Of an account that is being deleted: if it was taken down, its codes must not come back to life.
UPDATE pds_tenant.tenant_item SET flags = 1 WHERE kind = 3 AND lookup = convert_to(@did::text, 'UTF8');

-- name: UpdateInviteCodeReturned :exec
-- Gives back the use of a sign-up that is being undone.
UPDATE pds_tenant.tenant_item i SET tries = i.tries + 1
FROM pds_tenant.tenant_item u WHERE u.kind = 4 AND u.lookup = int8send(@aid::bigint) AND i.kind = 3 AND i.key = convert_to(u.label, 'UTF8');

-- name: DeleteInviteCodeUses :exec
DELETE FROM pds_tenant.tenant_item WHERE kind = 4 AND lookup = int8send(@aid::bigint);

-- name: GetInviteCode :one
SELECT convert_from(key, 'UTF8')::text AS code, number::int AS uses_total, tries AS uses_left, (flags > 0)::boolean AS disabled,
  convert_from(lookup, 'UTF8')::text AS for_account, label AS created_by, created_at
FROM pds_tenant.tenant_item WHERE kind = 3 AND key = convert_to(@code::text, 'UTF8');

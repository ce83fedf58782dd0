-- name: InsertInviteCode :exec
INSERT INTO pds_tenant.invite_code (code, uses_total, uses_left, for_account, created_by, created_at)
VALUES (@code, @uses_total, @uses_total, @for_account, @created_by, @created_at);

-- name: CountUsableInviteCodes :one
-- 1 when the code can be used now: a look before the expensive part of a sign-up. UpdateInviteCodeUsed decides.
SELECT count(*)::int FROM pds_tenant.invite_code i
WHERE i.code = @code AND i.uses_left > 0 AND NOT i.disabled
  AND NOT EXISTS (SELECT 1 FROM pds_tenant.actor a WHERE a.did = i.for_account AND a.takedown_ref IS NOT NULL);

-- name: UpdateInviteCodeUsed :execrows
-- The row lock serializes uses: of two that race for the last one, the second sees uses_left = 0.
UPDATE pds_tenant.invite_code i SET uses_left = i.uses_left - 1
WHERE i.code = @code AND i.uses_left > 0 AND NOT i.disabled
  AND NOT EXISTS (SELECT 1 FROM pds_tenant.actor a WHERE a.did = i.for_account AND a.takedown_ref IS NOT NULL);

-- name: InsertInviteCodeUse :exec
INSERT INTO pds_tenant.invite_code_use (code, aid, used_at) VALUES (@code, @aid, @used_at);

-- name: UpdateInviteCodesOrphaned :exec
-- Of an account that is being deleted: if it was taken down, its codes must not come back to life.
UPDATE pds_tenant.invite_code SET disabled = true WHERE for_account = @did;

-- name: UpdateInviteCodeReturned :exec
-- Gives back the use of a sign-up that is being undone.
UPDATE pds_tenant.invite_code i SET uses_left = i.uses_left + 1
FROM pds_tenant.invite_code_use u WHERE u.aid = @aid AND i.code = u.code;

-- name: DeleteInviteCodeUses :exec
DELETE FROM pds_tenant.invite_code_use WHERE aid = @aid;

-- name: GetInviteCode :one
SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at
FROM pds_tenant.invite_code WHERE code = @code;

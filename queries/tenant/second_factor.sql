-- Secrets of one-time codes are items of kind 1, backup codes of kind 2.

-- name: UpdateAccountEmailFactor :execrows
UPDATE pds_tenant.account SET email_factor = @email_factor WHERE aid = @aid;

-- name: GetSecondFactors :one
-- What an account asks for beside its main password.
SELECT c.email, c.email_confirmed_at, c.email_factor, t.secret AS sealed, t.used_at AS confirmed_at, t.number AS last_step, t.created_at AS begun_at
FROM pds_tenant.account c LEFT JOIN pds_tenant.account_item t ON t.aid = c.aid AND t.kind = 1 AND t.key = ''
WHERE c.aid = @aid;

-- name: UpsertTOTP :execrows
-- A new secret has to be confirmed by a code before it counts. One that is confirmed is not replaced.
INSERT INTO pds_tenant.account_item AS t (aid, kind, secret, created_at)
SELECT a.aid, 1, @sealed::bytea, @created_at::timestamptz FROM pds_tenant.actor a WHERE a.aid = @aid FOR KEY SHARE
ON CONFLICT (aid, kind, key) DO UPDATE SET secret = excluded.secret, used_at = NULL, number = 0, created_at = excluded.created_at
WHERE t.used_at IS NULL;

-- name: GetTOTP :one
SELECT secret AS sealed, used_at AS confirmed_at, number AS last_step, created_at FROM pds_tenant.account_item WHERE aid = @aid AND kind = 1 AND key = '';

-- name: UpdateTOTPConfirmed :execrows
-- Which secret it is, its time says: what it is sealed as changes when the master key does.
UPDATE pds_tenant.account_item SET used_at = @now::timestamptz, number = @step
WHERE aid = @aid AND kind = 1 AND key = '' AND created_at = @created_at AND used_at IS NULL AND number < @step;

-- name: UpdateTOTPUsed :execrows
-- Each code works once: of two who come with the same, one finds the step taken.
UPDATE pds_tenant.account_item SET number = @step
WHERE aid = @aid AND kind = 1 AND key = '' AND created_at = @created_at AND used_at IS NOT NULL AND number < @step;

-- name: DeleteTOTPIfAny :execrows
-- Confirmed or not.
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 1;

-- name: InsertBackupCodes :exec
INSERT INTO pds_tenant.account_item (aid, kind, key)
SELECT a.aid, 2, m.mac FROM pds_tenant.actor a, unnest(@macs::bytea[]) AS m(mac) WHERE a.aid = @aid FOR KEY SHARE OF a;

-- name: DeleteBackupCode :execrows
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 2 AND key = @code_mac;

-- name: DeleteBackupCodesOf :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 2;

-- name: CountBackupCodes :one
SELECT count(*)::int FROM pds_tenant.account_item WHERE aid = @aid AND kind = 2;

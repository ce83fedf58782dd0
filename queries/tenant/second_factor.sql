-- name: UpdateAccountEmailFactor :execrows
UPDATE pds_tenant.account SET email_factor = @email_factor WHERE aid = @aid;

-- name: GetSecondFactors :one
-- What an account asks for beside its main password.
SELECT c.email, c.email_confirmed_at, c.email_factor, t.sealed, t.confirmed_at, t.last_step, t.created_at AS begun_at
FROM pds_tenant.account c LEFT JOIN pds_tenant.totp t ON t.aid = c.aid
WHERE c.aid = @aid;

-- name: UpsertTOTP :execrows
-- A new secret has to be confirmed by a code before it counts. One that is confirmed is not replaced.
INSERT INTO pds_tenant.totp (aid, sealed, created_at) VALUES (@aid, @sealed, @created_at)
ON CONFLICT (aid) DO UPDATE SET sealed = excluded.sealed, confirmed_at = NULL, last_step = 0, created_at = excluded.created_at
WHERE totp.confirmed_at IS NULL;

-- name: GetTOTP :one
SELECT sealed, confirmed_at, last_step, created_at FROM pds_tenant.totp WHERE aid = @aid;

-- name: UpdateTOTPConfirmed :execrows
UPDATE pds_tenant.totp SET confirmed_at = @now::timestamptz, last_step = @step WHERE aid = @aid AND sealed = @sealed AND confirmed_at IS NULL AND last_step < @step;

-- name: UpdateTOTPUsed :execrows
-- Each code works once: of two who come with the same, one finds the step taken.
UPDATE pds_tenant.totp SET last_step = @step WHERE aid = @aid AND sealed = @sealed AND confirmed_at IS NOT NULL AND last_step < @step;

-- name: DeleteTOTP :exec
DELETE FROM pds_tenant.totp WHERE aid = @aid;

-- name: DeleteTOTPIfAny :execrows
-- Confirmed or not.
DELETE FROM pds_tenant.totp WHERE aid = @aid;

-- name: InsertBackupCodes :exec
INSERT INTO pds_tenant.backup_code (aid, code_mac) SELECT @aid::bigint, m.mac FROM unnest(@macs::bytea[]) AS m(mac);

-- name: DeleteBackupCode :execrows
DELETE FROM pds_tenant.backup_code WHERE aid = @aid AND code_mac = @code_mac;

-- name: DeleteBackupCodesOf :exec
DELETE FROM pds_tenant.backup_code WHERE aid = @aid;

-- name: CountBackupCodes :one
SELECT count(*)::int FROM pds_tenant.backup_code WHERE aid = @aid;

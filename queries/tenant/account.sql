-- name: InsertAccount :exec
INSERT INTO pds_tenant.account (aid, email, password_hash, invite_code, created_at)
VALUES (@aid, @email, @password_hash, @invite_code, @created_at);

-- name: GetAccountByDID :one
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, a.session_epoch, a.app_epoch, a.created_at,
       c.email, c.email_confirmed_at, c.email_factor, c.oauth_only, c.password_hash, c.invites_disabled
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE a.did = @did AND a.creating_since IS NULL;

-- name: GetAccountByAID :one
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, a.session_epoch, a.app_epoch, a.created_at,
       c.email, c.email_confirmed_at, c.email_factor, c.oauth_only, c.password_hash, c.invites_disabled
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE a.aid = @aid AND a.creating_since IS NULL;

-- name: GetAccountByHandle :one
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, a.session_epoch, a.app_epoch, a.created_at,
       c.email, c.email_confirmed_at, c.email_factor, c.oauth_only, c.password_hash, c.invites_disabled
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE a.handle = @handle::text AND a.creating_since IS NULL;

-- name: GetAccountByEmail :one
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, a.session_epoch, a.app_epoch, a.created_at,
       c.email, c.email_confirmed_at, c.email_factor, c.oauth_only, c.password_hash, c.invites_disabled
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE c.email = @email::text AND a.creating_since IS NULL;

-- name: LockAccount :one
-- Before the address is decided on: what is read afterwards stays until the transaction ends. Mailed tokens come after
-- this row, everywhere.
SELECT aid FROM pds_tenant.account WHERE aid = @aid FOR NO KEY UPDATE;

-- name: CountAccountsWithEmail :one
SELECT count(*)::int FROM pds_tenant.account c JOIN pds_tenant.actor a ON a.aid = c.aid
WHERE c.email = @email::text AND (a.creating_since IS NULL OR a.creating_since >= @stale_before::timestamptz);

-- name: UpdateAccountPasswordHash :execrows
-- Only over the hash that was checked: a password changed meanwhile stays changed.
UPDATE pds_tenant.account SET password_hash = @new_hash::text
WHERE aid = @aid AND password_hash = @old_hash::text;

-- name: DeleteAccount :exec
DELETE FROM pds_tenant.account WHERE aid = @aid;

-- name: UpdateAccountOAuthOnly :execrows
-- Nothing when it is so already.
UPDATE pds_tenant.account SET oauth_only = @oauth_only WHERE aid = @aid AND oauth_only <> @oauth_only;

-- name: UpdateAccountPasswordGone :execrows
UPDATE pds_tenant.account SET password_hash = NULL WHERE aid = @aid AND password_hash IS NOT NULL;

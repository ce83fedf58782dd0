-- What operators do to accounts and records. Acts on an account take its actor's row first.

-- name: UpdateActorTakedown :one
-- Sessions end with the first takedown. A repeated one leaves the token alone with which somebody is leaving.
UPDATE pds_tenant.actor SET takedown_ref = sqlc.narg(takedown_ref)::text,
  session_epoch = session_epoch + CASE WHEN takedown_ref IS NULL AND sqlc.narg(takedown_ref)::text IS NOT NULL THEN 1 ELSE 0 END
WHERE aid = @aid AND creating_since IS NULL
RETURNING did, deactivated_at, takedown_ref, unannounced;

-- name: UpdateRecordTakedown :execrows
UPDATE pds_tenant.record SET takedown_ref = sqlc.narg(takedown_ref)::text WHERE aid = @aid AND path = @path;

-- name: GetRecordTakedown :one
SELECT cid, takedown_ref FROM pds_tenant.record WHERE aid = @aid AND path = @path;

-- name: GetActorTakedown :one
SELECT aid, did, takedown_ref, deactivated_at FROM pds_tenant.actor WHERE did = @did AND creating_since IS NULL;

-- name: ListAccountInfos :many
SELECT a.aid, a.did, a.handle, a.created_at, a.deactivated_at, a.delete_after, a.takedown_ref,
  c.email, c.email_confirmed_at, c.invites_disabled, c.invite_note, c.invite_code
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE a.did = ANY (@dids::text[]) AND a.creating_since IS NULL
ORDER BY a.aid LIMIT @max_rows::int;

-- name: ListAccounts :many
-- Page by page, oldest first. @contains is looked for in addresses, in handles and in DIDs as @also says.
SELECT a.aid, a.did, a.handle, a.created_at, a.deactivated_at, a.delete_after, a.takedown_ref,
  c.email, c.email_confirmed_at, c.invites_disabled, c.invite_note, c.invite_code
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE a.aid > @after_aid AND a.creating_since IS NULL
  AND (@contains::text = '' OR strpos(c.email, @contains) > 0 OR @also::boolean AND (strpos(a.handle, @contains) > 0 OR a.did = @contains))
ORDER BY a.aid LIMIT @max_rows::int;

-- name: UpdateAccountInvitesDisabled :execrows
UPDATE pds_tenant.account SET invites_disabled = @disabled, invite_note = CASE WHEN @note::text = '' THEN invite_note ELSE @note::text END
WHERE aid = @aid;

-- name: UpdateInviteCodesDisabled :execrows
UPDATE pds_tenant.invite_code SET disabled = true WHERE code = ANY (@codes::text[]) OR for_account = ANY (@accounts::text[]);

-- name: ListInviteCodesFor :many
-- All codes that these accounts may give away.
SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM pds_tenant.invite_code
WHERE for_account = ANY (@accounts::text[]) ORDER BY created_at, code LIMIT @max_rows::int;

-- name: ListInviteCodesByCode :many
SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM pds_tenant.invite_code
WHERE code = ANY (@codes::text[]) LIMIT @max_rows::int;

-- name: ListInviteCodeUses :many
SELECT u.code, a.did, u.used_at FROM pds_tenant.invite_code_use u JOIN pds_tenant.actor a ON a.aid = u.aid
WHERE u.code = ANY (@codes::text[]) AND a.creating_since IS NULL
ORDER BY u.code, u.used_at, a.did LIMIT @max_rows::int;

-- name: ListInviteCodesRecent :many
SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM pds_tenant.invite_code
WHERE (created_at, code) < (@before_at::timestamptz, @before_code::text)
ORDER BY created_at DESC, code DESC LIMIT @max_rows::int;

-- name: ListInviteCodesByUsage :many
SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM pds_tenant.invite_code
WHERE (uses_total - uses_left, code) < (@before_uses::int, @before_code::text)
ORDER BY uses_total - uses_left DESC, code DESC LIMIT @max_rows::int;

-- name: GetReservedKeyByPublic :one
SELECT did, sealed, expires_at FROM pds_tenant.reserved_key WHERE public = @public;

-- name: DeleteReservedKeyByPublic :exec
DELETE FROM pds_tenant.reserved_key WHERE public = @public;

-- name: UpdateSigningKey :exec
UPDATE pds_tenant.account SET key_sealed = @sealed::bytea, key_public = @public::text, key_created_at = @created_at::timestamptz WHERE aid = @aid AND key_sealed IS NOT NULL;

-- name: LockRepoHead :one
-- Commits that are on their way end before; their revisions, and those to come, differ from what is made of this.
SELECT did, head_cid, head_rev, head_commit FROM pds_tenant.actor
WHERE aid = @aid AND creating_since IS NULL AND head_cid IS NOT NULL FOR UPDATE;

-- name: GetBlobTakedown :one
SELECT takedown_ref FROM pds_tenant.blob WHERE aid = @aid AND cid = @cid;

-- name: ListRecordTakedowns :many
-- One account's, for its owner: as far as the account goes, and rarely asked.
SELECT path, cid, takedown_ref FROM pds_tenant.record
WHERE aid = @aid AND takedown_ref IS NOT NULL ORDER BY path LIMIT @max_rows::int;

-- name: ListBlobTakedowns :many
SELECT cid, takedown_ref FROM pds_tenant.blob
WHERE aid = @aid AND takedown_ref IS NOT NULL ORDER BY cid LIMIT @max_rows::int;

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
UPDATE pds_tenant.tenant_item SET flags = 1 WHERE kind = 3 AND key = ANY (ARRAY(
  SELECT convert_to(x, 'UTF8') FROM unnest(@codes::text[]) AS x
  UNION ALL
  SELECT i.key FROM pds_tenant.tenant_item i WHERE i.kind = 3 AND i.lookup = ANY (ARRAY(SELECT convert_to(x, 'UTF8') FROM unnest(@accounts::text[]) AS x))));

-- name: ListInviteCodesFor :many
-- All codes that these accounts may give away.
SELECT convert_from(key, 'UTF8')::text AS code, number::int AS uses_total, tries AS uses_left, (flags > 0)::boolean AS disabled,
  convert_from(lookup, 'UTF8')::text AS for_account, label AS created_by, created_at
FROM pds_tenant.tenant_item
WHERE kind = 3 AND lookup = ANY (ARRAY(SELECT convert_to(x, 'UTF8') FROM unnest(@accounts::text[]) AS x)) ORDER BY created_at, key LIMIT @max_rows::int;

-- name: ListInviteCodesByCode :many
SELECT convert_from(key, 'UTF8')::text AS code, number::int AS uses_total, tries AS uses_left, (flags > 0)::boolean AS disabled,
  convert_from(lookup, 'UTF8')::text AS for_account, label AS created_by, created_at
FROM pds_tenant.tenant_item
WHERE kind = 3 AND key = ANY (ARRAY(SELECT convert_to(x, 'UTF8') FROM unnest(@codes::text[]) AS x)) LIMIT @max_rows::int;

-- name: ListInviteCodeUses :many
SELECT u.label AS code, a.did, u.used_at::timestamptz AS used_at
FROM unnest(@codes::text[]) AS c(code)
CROSS JOIN LATERAL (
  SELECT i.label, i.aid, i.used_at FROM pds_tenant.tenant_item i -- OFFSET: each code's by the key, however few the planner believes there are
  WHERE i.kind = 4 AND i.key > convert_to(c.code, 'UTF8') || '\x00'::bytea AND i.key < convert_to(c.code, 'UTF8') || '\x01'::bytea OFFSET 0
) u
JOIN pds_tenant.actor a ON a.aid = u.aid
WHERE a.creating_since IS NULL
ORDER BY u.label, u.used_at, a.did LIMIT @max_rows::int;

-- name: ListInviteCodesRecent :many
SELECT convert_from(key, 'UTF8')::text AS code, number::int AS uses_total, tries AS uses_left, (flags > 0)::boolean AS disabled,
  convert_from(lookup, 'UTF8')::text AS for_account, label AS created_by, created_at
FROM pds_tenant.tenant_item
WHERE kind = 3 AND due_at IS NOT NULL AND (due_at, key) < (@before_at::timestamptz, convert_to(@before_code::text, 'UTF8'))
ORDER BY due_at DESC, key DESC LIMIT @max_rows::int;

-- name: ListInviteCodesByUsage :many
SELECT convert_from(key, 'UTF8')::text AS code, number::int AS uses_total, tries AS uses_left, (flags > 0)::boolean AS disabled,
  convert_from(lookup, 'UTF8')::text AS for_account, label AS created_by, created_at
FROM pds_tenant.tenant_item
WHERE kind = 3 AND (number - tries, key) < (@before_uses::int, convert_to(@before_code::text, 'UTF8'))
ORDER BY number - tries DESC, key DESC LIMIT @max_rows::int;

-- name: GetReservedKeyByPublic :one
SELECT CASE WHEN lookup IS NOT NULL THEN convert_from(lookup, 'UTF8') END AS did, secret AS sealed, due_at::timestamptz AS expires_at
FROM pds_tenant.tenant_item WHERE kind = 14 AND key = convert_to(@public::text, 'UTF8');

-- name: DeleteReservedKeyByPublic :exec
DELETE FROM pds_tenant.tenant_item WHERE kind = 14 AND key = convert_to(@public::text, 'UTF8');

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

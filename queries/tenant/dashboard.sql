-- What only operators' pages ask.

-- name: ListAccountsNewest :many
-- Page by page, newest first: accounts before @before_aid that have @contains in address or handle, or as DID, in one state. "": any.
SELECT a.aid, a.did, a.handle, a.created_at, a.deactivated_at, a.delete_after, a.takedown_ref,
  c.email, c.email_confirmed_at, c.invites_disabled, c.invite_note, c.invite_code
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE a.aid < @before_aid AND a.creating_since IS NULL
  AND (@contains::text = '' OR strpos(c.email, @contains) > 0 OR strpos(a.handle, @contains) > 0 OR a.did = @contains)
  AND (@state::text = '' OR @state = 'takendown' AND a.takedown_ref IS NOT NULL
    OR @state = 'deactivated' AND a.takedown_ref IS NULL AND a.deactivated_at IS NOT NULL
    OR @state = 'active' AND a.takedown_ref IS NULL AND a.deactivated_at IS NULL
    OR @state = 'leaving' AND a.delete_after IS NOT NULL)
ORDER BY a.aid DESC LIMIT @max_rows::int;

-- name: CountSessionsOf :one
-- Tokens that were used have a successor, and only a short grace.
SELECT (SELECT count(*) FROM pds_tenant.refresh_token r WHERE r.aid = a.aid AND r.next_id IS NULL AND r.expires_at > @now::timestamptz)::bigint AS tokens,
  (SELECT count(*) FROM pds_tenant.oauth_session s WHERE s.aid = a.aid AND s.epoch = a.session_epoch AND s.expires_at > @now::timestamptz)::bigint AS apps,
  (SELECT count(*) FROM pds_tenant.account_item d WHERE d.aid = a.aid AND d.kind = 7 AND d.number = a.session_epoch AND d.due_at > @now::timestamptz)::bigint AS browsers
FROM pds_tenant.actor a WHERE a.aid = @aid;

-- name: ListMailPage :many
-- Newest first, before a message of the page before, from one state to another: 0 to 2 is on its way, 3 was sent, 4 was given up.
SELECT convert_from(key, 'UTF8')::text AS mail_id, label AS recipient, flags AS state, tries AS attempts, due_at::timestamptz AS due_at,
  note AS last_error, created_at, used_at::timestamptz AS expires_at, value AS about, extra AS subject
FROM pds_tenant.tenant_item
WHERE kind IN (5, 6) AND flags BETWEEN @from_state AND @to_state AND (created_at, key) < (@before_at::timestamptz, convert_to(@before_id::text, 'UTF8'))
ORDER BY created_at DESC, key DESC LIMIT @max_rows::int;

-- name: UpdateMailDue :one
-- Only what waits: what a process has claimed is being tried.
UPDATE pds_tenant.tenant_item SET due_at = @now::timestamptz
WHERE kind = 5 AND key = convert_to(@mail_id::text, 'UTF8') AND flags = 0
RETURNING label AS recipient, value AS about;

-- name: DeleteWaitingMail :one
DELETE FROM pds_tenant.tenant_item
WHERE kind = 5 AND key = convert_to(@mail_id::text, 'UTF8') AND flags = 0
RETURNING label AS recipient, value AS about;

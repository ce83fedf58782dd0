-- Mail that waits or is on its way is of kind 5, mail that is done of kind 6.

-- name: InsertMail :exec
-- What it is about and its subject stand beside the sealed content, and stay when that goes.
INSERT INTO pds_tenant.tenant_item (kind, key, lookup, aid, label, secret, due_at, created_at, used_at, value, extra)
VALUES (5, convert_to(@mail_id::text, 'UTF8'), int8send(@aid::bigint), @aid::bigint, @recipient, @sealed::bytea, @created_at::timestamptz, @created_at::timestamptz, @expires_at::timestamptz, @about, @subject);

-- name: LockDueMail :many
-- Claims what is due: waiting mail, and mail whose claim ended without a word. Other processes pass over it until @until.
UPDATE pds_tenant.tenant_item m SET flags = 1, tries = m.tries + 1, due_at = @until::timestamptz
WHERE m.kind = 5 AND m.key IN (
  SELECT d.key FROM pds_tenant.tenant_item d WHERE d.kind = 5 AND d.due_at <= @now::timestamptz
  ORDER BY d.due_at LIMIT @max_rows::int FOR UPDATE SKIP LOCKED)
RETURNING convert_from(m.key, 'UTF8')::text AS mail_id, m.aid, m.label AS recipient, m.secret AS sealed, m.tries AS attempts, m.created_at, m.used_at::timestamptz AS expires_at;

-- name: UpdateMailHandingOver :execrows
-- The last moment before the server may accept it. Only the claim that holds it may, and it gets all its time again: for
-- the server's answer and for noting it.
UPDATE pds_tenant.tenant_item SET flags = 2, due_at = @until::timestamptz
WHERE kind = 5 AND key = convert_to(@mail_id::text, 'UTF8') AND flags = 1 AND tries = @attempts AND coalesce(due_at, 'infinity') > @now::timestamptz;

-- name: UpdateMailSent :execrows
UPDATE pds_tenant.tenant_item SET kind = 6, flags = 3, secret = ''::bytea, note = ''
WHERE kind = 5 AND key = convert_to(@mail_id::text, 'UTF8') AND tries = @attempts AND flags = 2;

-- name: UpdateMailWaiting :execrows
-- Back into the queue after a failure that may pass.
UPDATE pds_tenant.tenant_item SET flags = 0, due_at = @due_at::timestamptz, note = @last_error
WHERE kind = 5 AND key = convert_to(@mail_id::text, 'UTF8') AND tries = @attempts;

-- name: UpdateMailGivenUp :execrows
UPDATE pds_tenant.tenant_item SET kind = 6, flags = 4, secret = ''::bytea, note = @last_error
WHERE kind = 5 AND key = convert_to(@mail_id::text, 'UTF8') AND tries = @attempts;

-- name: GetNextMailDue :one
SELECT due_at::timestamptz AS due_at FROM pds_tenant.tenant_item WHERE kind = 5 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1;

-- name: ListMail :many
-- Newest first; @from_state 4 lists what was given up, 0 everything.
SELECT convert_from(key, 'UTF8')::text AS mail_id, label AS recipient, flags AS state, tries AS attempts, due_at::timestamptz AS due_at,
  note AS last_error, created_at, used_at::timestamptz AS expires_at, value AS about, extra AS subject
FROM pds_tenant.tenant_item
WHERE kind IN (5, 6) AND flags >= @from_state ORDER BY created_at DESC, key LIMIT @max_rows::int;

-- name: DeleteOldMail :execrows
-- When a mail is done, due_at is the end of its last claim.
DELETE FROM pds_tenant.tenant_item WHERE kind = 6 AND key IN (
  SELECT d.key FROM pds_tenant.tenant_item d WHERE d.kind = 6 AND d.due_at <= @before::timestamptz
  ORDER BY d.due_at LIMIT @max_rows::int);

-- name: DeleteMailOf :exec
DELETE FROM pds_tenant.tenant_item WHERE kind IN (5, 6) AND lookup = int8send(@aid::bigint);

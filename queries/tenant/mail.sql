-- name: InsertMail :exec
INSERT INTO pds_tenant.mail (mail_id, aid, recipient, sealed, state, attempts, due_at, created_at, expires_at)
VALUES (@mail_id, @aid, @recipient, @sealed, 0, 0, @created_at, @created_at, @expires_at);

-- name: LockDueMail :many
-- Claims what is due: waiting mail, and mail whose claim ended without a word. Other processes pass over it until @until.
UPDATE pds_tenant.mail m SET state = 1, attempts = m.attempts + 1, due_at = @until
WHERE m.mail_id IN (
  SELECT d.mail_id FROM pds_tenant.mail d WHERE d.state < 3 AND d.due_at <= @now::timestamptz
  ORDER BY d.due_at LIMIT @max_rows::int FOR UPDATE SKIP LOCKED)
RETURNING m.mail_id, m.aid, m.recipient, m.sealed, m.attempts, m.created_at, m.expires_at;

-- name: UpdateMailHandingOver :execrows
-- The last moment before the server may accept it. Only the claim that holds it may, and it gets all its time again: for
-- the server's answer and for noting it.
UPDATE pds_tenant.mail SET state = 2, due_at = @until WHERE mail_id = @mail_id AND state = 1 AND attempts = @attempts AND due_at > @now::timestamptz;

-- name: UpdateMailSent :execrows
UPDATE pds_tenant.mail SET state = 3, sealed = ''::bytea, last_error = ''
WHERE mail_id = @mail_id AND attempts = @attempts AND state = 2;

-- name: UpdateMailWaiting :execrows
-- Back into the queue after a failure that may pass.
UPDATE pds_tenant.mail SET state = 0, due_at = @due_at, last_error = @last_error
WHERE mail_id = @mail_id AND attempts = @attempts AND state < 3;

-- name: UpdateMailGivenUp :execrows
UPDATE pds_tenant.mail SET state = 4, sealed = ''::bytea, last_error = @last_error
WHERE mail_id = @mail_id AND attempts = @attempts AND state < 3;

-- name: GetNextMailDue :one
SELECT due_at FROM pds_tenant.mail WHERE state < 3 ORDER BY due_at LIMIT 1;

-- name: ListMail :many
-- Newest first; @from_state 4 lists what was given up, 0 everything.
SELECT mail_id, recipient, state, attempts, due_at, last_error, created_at, expires_at FROM pds_tenant.mail
WHERE state >= @from_state ORDER BY created_at DESC, mail_id LIMIT @max_rows::int;

-- name: DeleteOldMail :execrows
DELETE FROM pds_tenant.mail WHERE mail_id IN (
  SELECT d.mail_id FROM pds_tenant.mail d WHERE d.state >= 3 AND d.created_at <= @before::timestamptz
  ORDER BY d.created_at LIMIT @max_rows::int);

-- name: DeleteMailOf :exec
DELETE FROM pds_tenant.mail WHERE aid = @aid;

-- name: InsertIdempotency :execrows
INSERT INTO control.idempotency (caller, key, digest, status, content_type, answer, created_at, busy_until)
VALUES (@caller, @key, @digest, 0, '', '', @now, @busy_until)
ON CONFLICT (caller, key) DO NOTHING;

-- name: GetIdempotency :one
SELECT * FROM control.idempotency WHERE caller = @caller AND key = @key;

-- Takes over what was left by a process that died, or what is older than a day.
-- name: UpdateIdempotencyTaken :execrows
UPDATE control.idempotency SET digest = @digest, status = 0, content_type = '', answer = '', created_at = @now, busy_until = @busy_until
WHERE caller = @caller AND key = @key AND (created_at < @stale::timestamptz OR status = 0 AND busy_until < @now AND digest = @digest);

-- name: UpdateIdempotencyDone :execrows
UPDATE control.idempotency SET status = @status, content_type = @content_type, answer = @answer
WHERE caller = @caller AND key = @key AND digest = @digest AND status = 0;

-- name: DeleteIdempotency :execrows
DELETE FROM control.idempotency WHERE caller = @caller AND key = @key AND status = 0;

-- name: DeleteIdempotencyBefore :execrows
DELETE FROM control.idempotency i WHERE (i.caller, i.key) IN (
  SELECT o.caller, o.key FROM control.idempotency o WHERE o.created_at < @stale::timestamptz ORDER BY o.created_at LIMIT @max_rows::int);

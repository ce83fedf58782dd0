-- name: UpsertTLSItem :exec
INSERT INTO control.tls_item (item, sealed, size, modified_at) VALUES (@item, @sealed, @size, @now)
ON CONFLICT (item) DO UPDATE SET sealed = excluded.sealed, size = excluded.size, modified_at = excluded.modified_at;

-- name: GetTLSItem :one
SELECT * FROM control.tls_item WHERE item = $1;

-- The items from a path on, before another; a folder's are those between its path with a slash and with what follows a slash.
-- name: ListTLSItems :many
SELECT item FROM control.tls_item WHERE item > @after::text AND item < @before::text ORDER BY item LIMIT @max_rows::int;

-- name: CountTLSItems :one
SELECT count(*) FROM (SELECT 1 FROM control.tls_item WHERE item = @item OR (item > @after::text AND item < @before::text) LIMIT 1) x;

-- name: DeleteTLSItems :execrows
DELETE FROM control.tls_item WHERE item = @item OR (item > @after::text AND item < @before::text);

-- Takes a lock that nobody has, or whose holder is silent. No row: somebody has it.
-- name: UpsertTLSLock :execrows
INSERT INTO control.tls_lock AS l (name, holder, held_until) VALUES (@name, @holder, @held_until)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
WHERE l.held_until < @now::timestamptz;

-- name: UpdateTLSLock :execrows
UPDATE control.tls_lock SET held_until = @held_until WHERE name = @name AND holder = @holder;

-- name: DeleteTLSLock :execrows
DELETE FROM control.tls_lock WHERE name = @name AND holder = @holder;

-- Wants a certificate. One that is wanted, or failed, stays as it is; one that was given up or removed is wanted anew.
-- name: UpsertTLSName :execrows
INSERT INTO control.tls_name AS n (subject, tenant_id, domain, state, wanted_at, due_at, changed_at)
VALUES (@subject, @tenant_id, @domain, 0, @now, @now, @now)
ON CONFLICT (subject) DO UPDATE SET state = 0, tenant_id = excluded.tenant_id, domain = excluded.domain, wanted_at = excluded.wanted_at,
  due_at = excluded.due_at, error = ''
WHERE n.state IN (3, 4);

-- name: GetTLSName :one
SELECT * FROM control.tls_name WHERE subject = $1;

-- name: ListTLSNames :many
SELECT * FROM control.tls_name WHERE subject > @after ORDER BY subject LIMIT @max_rows::int;

-- name: ListTLSNamesOfTenant :many
SELECT * FROM control.tls_name WHERE tenant_id = @tenant_id ORDER BY subject LIMIT @max_rows::int;

-- All together: those that are there, that are wanted for the first time, and whose last attempt failed; and when the first
-- of those that are served expires, the epoch for none.
-- name: GetTLSGauge :one
SELECT count(*) FILTER (WHERE not_after IS NOT NULL)::bigint AS present, count(*) FILTER (WHERE not_after IS NULL AND attempts = 0)::bigint AS waiting,
  count(*) FILTER (WHERE attempts > 0)::bigint AS failing, coalesce(min(not_after), 'epoch')::timestamptz AS expires_at
FROM control.tls_name WHERE state < 3;

-- What is served under these names changed.
-- name: ListTLSNamesChanged :many
SELECT subject, changed_at FROM control.tls_name WHERE changed_at >= @since ORDER BY changed_at LIMIT @max_rows::int;

-- The next one to work on. Renewals go first; then tenants that had fewer orders lately, so that many names of one do not
-- keep the others waiting.
-- name: LockDueTLSName :one
UPDATE control.tls_name SET claimed_until = @claimed_until
WHERE subject = (
  SELECT n.subject FROM control.tls_name n
  WHERE n.due_at <= @now::timestamptz AND n.state < 3 AND (n.claimed_until IS NULL OR n.claimed_until < @now::timestamptz)
  ORDER BY (n.not_after IS NULL), (
    SELECT count(*) FROM control.tls_order o WHERE o.tenant_id = n.tenant_id AND o.ordered_at > @recent::timestamptz), n.due_at
  LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: UpdateTLSNameHeld :execrows
UPDATE control.tls_name SET claimed_until = @claimed_until WHERE subject = @subject AND claimed_until IS NOT NULL;

-- name: UpdateTLSNameIssued :exec
UPDATE control.tls_name SET state = 1, claimed_until = NULL, attempts = 0, error = '', forced = false, serial = @serial, issuer = @issuer,
  not_before = @not_before, not_after = @not_after, renew_at = @renew_at, due_at = @due_at, changed_at = @now
WHERE subject = @subject AND state < 3;

-- name: UpdateTLSNameLooked :exec
UPDATE control.tls_name SET claimed_until = NULL, renew_at = @renew_at, due_at = @due_at WHERE subject = @subject;

-- name: UpdateTLSNameFailed :exec
UPDATE control.tls_name SET state = CASE WHEN not_after > @now::timestamptz THEN 1 ELSE 2 END, claimed_until = NULL, attempts = attempts + 1,
  error = @error, forced = false, due_at = @due_at
WHERE subject = @subject;

-- It waits for an authority, by no fault of its own.
-- name: UpdateTLSNameWaits :exec
UPDATE control.tls_name SET claimed_until = NULL, error = @error, due_at = @due_at WHERE subject = @subject;

-- Nobody has the name any more.
-- name: UpdateTLSNameGivenUp :exec
UPDATE control.tls_name SET state = 3, claimed_until = NULL, error = @error, due_at = @now WHERE subject = @subject;

-- name: UpdateTLSNameForced :execrows
UPDATE control.tls_name SET forced = true, due_at = @now, attempts = 0, error = '', state = CASE WHEN state >= 2 THEN 0 ELSE state END WHERE subject = @subject;

-- name: UpdateTLSNameRemoved :execrows
UPDATE control.tls_name SET state = 4, claimed_until = NULL, forced = false, error = '', serial = '', issuer = '', not_before = NULL, not_after = NULL, renew_at = NULL,
  due_at = @now, changed_at = @now
WHERE subject = @subject AND state <> 4;

-- name: DeleteTLSNamesOld :many
DELETE FROM control.tls_name WHERE subject IN (
  SELECT n.subject FROM control.tls_name n WHERE n.state >= 3 AND n.due_at < @before::timestamptz AND (n.not_after IS NULL OR n.not_after < @before::timestamptz) LIMIT @max_rows::int)
RETURNING subject;

-- name: InsertTLSOrder :exec
INSERT INTO control.tls_order (ordered_at, subject, tenant_id, domain, renewal) VALUES (@ordered_at, @subject, @tenant_id, @domain, @renewal)
ON CONFLICT (ordered_at, subject) DO NOTHING;

-- name: UpdateTLSOrderFailed :exec
UPDATE control.tls_order SET failed = true WHERE ordered_at = @ordered_at AND subject = @subject;

-- name: DeleteTLSOrder :exec
DELETE FROM control.tls_order WHERE ordered_at = @ordered_at AND subject = @subject;

-- How many orders there were: for new certificates of all names, of one registered domain, and failed ones of one name;
-- and when the oldest of each leaves the count.
-- name: GetTLSBudget :one
SELECT
  (SELECT count(*) FROM control.tls_order WHERE ordered_at > @orders_since::timestamptz)::bigint AS orders,
  coalesce((SELECT min(ordered_at) FROM control.tls_order WHERE ordered_at > @orders_since::timestamptz), @orders_since::timestamptz)::timestamptz AS orders_oldest,
  (SELECT count(*) FROM control.tls_order WHERE domain = @domain::text AND NOT renewal AND NOT failed AND ordered_at > @domain_since::timestamptz)::bigint AS of_domain,
  coalesce((SELECT min(ordered_at) FROM control.tls_order WHERE domain = @domain::text AND NOT renewal AND NOT failed AND ordered_at > @domain_since::timestamptz), @domain_since::timestamptz)::timestamptz AS domain_oldest,
  (SELECT count(*) FROM control.tls_order WHERE domain = @domain::text AND subject = @subject::text AND failed AND ordered_at > @failed_since::timestamptz)::bigint AS failures,
  coalesce((SELECT min(ordered_at) FROM control.tls_order WHERE domain = @domain::text AND subject = @subject::text AND failed AND ordered_at > @failed_since::timestamptz), @failed_since::timestamptz)::timestamptz AS failures_oldest;

-- name: DeleteTLSOrdersBefore :execrows
DELETE FROM control.tls_order WHERE (ordered_at, subject) IN (
  SELECT o.ordered_at, o.subject FROM control.tls_order o WHERE o.ordered_at < @before ORDER BY o.ordered_at LIMIT @max_rows::int);

-- Items of kind 11. The index of due_at has them in their order.

-- name: InsertSignupRequest :exec
INSERT INTO pds_tenant.account_item (aid, kind, value, label, created_at, due_at)
SELECT a.aid, 11, @genesis::text, @lang::text, @created_at::timestamptz, @created_at::timestamptz
FROM pds_tenant.actor a WHERE a.aid = @aid FOR KEY SHARE;

-- name: CountSignupRequestsOf :one
SELECT count(*)::int FROM pds_tenant.account_item WHERE aid = @aid AND kind = 11;

-- name: GetSignupPlace :one
-- How many that nobody has decided on were there before this one, and this one.
SELECT (SELECT count(*) FROM pds_tenant.account_item o
  WHERE o.kind = 11 AND o.due_at <= s.due_at AND o.noted_at IS NULL AND (o.due_at, o.aid) <= (s.due_at, s.aid))::int AS place
FROM pds_tenant.account_item s WHERE s.aid = @aid AND s.kind = 11;

-- name: LockSignupRequest :one
SELECT aid, value AS genesis, label AS lang, created_at, used_at AS approving_at, noted_at AS rejected_at
FROM pds_tenant.account_item WHERE aid = @aid AND kind = 11 FOR UPDATE;

-- name: UpdateSignupApproving :exec
UPDATE pds_tenant.account_item SET used_at = @now::timestamptz WHERE aid = @aid AND kind = 11;

-- name: UpdateSignupRejected :exec
UPDATE pds_tenant.account_item SET noted_at = coalesce(noted_at, @now::timestamptz) WHERE aid = @aid AND kind = 11;

-- name: ListRejectedSignups :many
-- Rejections that somebody began and did not end. announced: the PLC directory may know the DID.
SELECT s.aid, a.did, (s.used_at IS NOT NULL)::boolean AS announced FROM pds_tenant.account_item s JOIN pds_tenant.actor a ON a.aid = s.aid
WHERE s.kind = 11 AND s.due_at IS NOT NULL AND s.noted_at <= @before::timestamptz AND s.aid > @after_aid::bigint
ORDER BY s.aid LIMIT @max_rows::int;

-- name: ListSignupRequests :many
SELECT s.aid, a.did, a.handle, c.email, s.created_at, (s.value = '')::boolean AS moved
FROM pds_tenant.account_item s JOIN pds_tenant.actor a ON a.aid = s.aid JOIN pds_tenant.account c ON c.aid = s.aid
WHERE s.kind = 11 AND a.creating_since IS NULL AND s.noted_at IS NULL
  AND s.due_at >= @after_at::timestamptz AND (s.due_at, s.aid) > (@after_at::timestamptz, @after_aid::bigint)
ORDER BY s.due_at, s.aid LIMIT @max_rows::int;

-- name: DeleteSignupRequest :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 11;

-- name: UpdateActorQueued :exec
-- One that moves here has its time to do so from the decision on.
UPDATE pds_tenant.actor SET creating_since = NULL, deactivated_at = @now::timestamptz, delete_after = NULL, unannounced = true WHERE aid = @aid;

-- What records take. The counters are in the actor's row and move with its head (UpdateRepoHeads); their sum over the
-- tenant is in stream_head and moves with its numbers (InsertCommitEvents). Here is what happens outside grouped commits.
-- Lock order: actor, then uncounted, then stream_head.

-- name: GetRecordUsage :one
-- The counters, the limits, what the tenant has, and what the records at these paths have, at one moment.
SELECT a.head_rev, a.record_count, a.record_bytes, a.max_records, a.max_record_bytes, a.limits_version, s.records AS tenant_records, s.record_bytes AS tenant_bytes,
  (SELECT coalesce(sum(octet_length(r.value)), 0) FROM pds_tenant.record r WHERE r.aid = a.aid AND r.path = ANY (@paths::text[]))::bigint AS old_bytes
FROM pds_tenant.actor a, pds_tenant.stream_head s WHERE a.aid = @aid AND s.id = 1;

-- name: CountRecords :one
-- By reading all of them: behind LockRecordCounts.
SELECT count(*)::bigint AS records, coalesce(sum(octet_length(r.value)), 0)::bigint AS bytes FROM pds_tenant.record r WHERE r.aid = @aid;

-- name: LockRecordCounts :one
SELECT coalesce(a.record_count, 0)::bigint AS records, coalesce(a.record_bytes, 0)::bigint AS bytes, (a.record_count IS NOT NULL)::boolean AS counted
FROM pds_tenant.actor a WHERE a.aid = @aid FOR NO KEY UPDATE;

-- name: UpdateRecordCounts :exec
-- Behind LockRecordCounts.
UPDATE pds_tenant.actor SET record_count = @records::bigint, record_bytes = @bytes::bigint, limits_version = limits_version + 1 WHERE aid = @aid;

-- name: UpdateRecordTotals :exec
-- Adds to the tenant's sum. The row stays locked until the transaction ends: keep what follows short.
UPDATE pds_tenant.stream_head SET records = records + @records::bigint, record_bytes = record_bytes + @bytes::bigint WHERE id = 1;

-- name: UpdateRecordTotalsGone :exec
-- An account goes, with its records.
UPDATE pds_tenant.stream_head s SET records = s.records - a.record_count, record_bytes = s.record_bytes - a.record_bytes
FROM pds_tenant.actor a WHERE s.id = 1 AND a.aid = @aid AND a.record_count > 0;

-- name: UpdateRecordTotalsSummed :one
-- The tenant's sum anew. Behind a lock of the row by a statement before: whoever commits later adds to what is here then.
UPDATE pds_tenant.stream_head s SET records = t.records, record_bytes = t.bytes
FROM (SELECT coalesce(sum(a.record_count), 0)::bigint AS records, coalesce(sum(a.record_bytes), 0)::bigint AS bytes FROM pds_tenant.actor a) t
WHERE s.id = 1 RETURNING s.records, s.record_bytes;

-- name: GetRecordTotals :one
-- What the sum is and what it should be, at one moment.
SELECT s.records, s.record_bytes, t.records AS sum_records, t.bytes AS sum_bytes,
  (SELECT count(*) FROM pds_tenant.account_item i WHERE i.kind = 13 AND i.due_at = 'epoch')::bigint AS uncounted
FROM pds_tenant.stream_head s,
  (SELECT coalesce(sum(a.record_count), 0)::bigint AS records, coalesce(sum(a.record_bytes), 0)::bigint AS bytes FROM pds_tenant.actor a) t
WHERE s.id = 1;

-- name: ListUncounted :many
-- Accounts that are older than the counters: items of kind 13.
SELECT aid FROM pds_tenant.account_item WHERE kind = 13 AND due_at = 'epoch' AND aid > @after::bigint ORDER BY aid LIMIT @max_rows::int;

-- name: DeleteUncounted :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 13;

-- name: UpdateRecordLimits :exec
-- An account's own limits, null: the tenant's setting, 0: none.
UPDATE pds_tenant.actor SET max_records = sqlc.narg(max_records)::bigint, max_record_bytes = sqlc.narg(max_record_bytes)::bigint,
  limits_version = limits_version + 1 WHERE aid = sqlc.arg(aid)::bigint;

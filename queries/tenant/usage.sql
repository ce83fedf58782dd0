-- name: GetAccountUsage :one
-- What one account's files and records take. Temporary ones are counted among the tenant's, by their index, or among the account's.
SELECT coalesce(u.blobs, 0)::bigint AS blobs, coalesce(u.bytes, 0)::bigint AS bytes, u.max_bytes,
  coalesce(t.blobs, 0)::bigint AS temporary_blobs, coalesce(t.bytes, 0)::bigint AS temporary_bytes,
  coalesce(a.record_count, (SELECT count(*) FROM pds_tenant.record r WHERE r.aid = a.aid))::bigint AS records,
  coalesce(a.record_bytes, (SELECT coalesce(sum(octet_length(r.value)), 0) FROM pds_tenant.record r WHERE r.aid = a.aid))::bigint AS record_bytes,
  a.max_records, a.max_record_bytes
FROM (SELECT count(*) AS blobs, sum(b.size) AS bytes FROM pds_tenant.blob b WHERE b.aid = @aid::bigint AND b.temporary) t
JOIN pds_tenant.actor a ON a.aid = @aid::bigint
LEFT JOIN pds_tenant.blob_usage u ON u.aid = @aid::bigint;

-- name: GetTenantUsage :one
-- What a tenant holds: counters where there are, and the rest counted. pg_total_relation_size knows indexes and TOAST.
SELECT a.total::bigint AS accounts, a.deactivated::bigint AS deactivated, a.takendown::bigint AS takendown,
  -- Counters know all records once every account was counted.
  (CASE WHEN EXISTS (SELECT 1 FROM pds_tenant.account_item i WHERE i.kind = 13 AND i.due_at = 'epoch') THEN (SELECT count(*) FROM pds_tenant.record) ELSE h.records END)::bigint AS records,
  h.record_bytes::bigint AS record_bytes,
  u.blobs::bigint AS blobs, u.bytes::bigint AS bytes, t.blobs::bigint AS temporary_blobs, t.bytes::bigint AS temporary_bytes,
  (SELECT count(*) FROM pds_tenant.tenant_item x WHERE x.kind = 12 AND x.due_at <= @now::timestamptz)::bigint AS trash,
  (pg_total_relation_size('pds_tenant.record'::regclass) + pg_total_relation_size('pds_tenant.mst_node'::regclass)
    + pg_total_relation_size('pds_tenant.repo_event'::regclass))::bigint AS database_bytes
FROM (SELECT count(*) AS total, count(*) FILTER (WHERE s.takedown_ref IS NULL AND s.deactivated_at IS NOT NULL) AS deactivated,
    count(*) FILTER (WHERE s.takedown_ref IS NOT NULL) AS takendown
  FROM pds_tenant.actor s JOIN pds_tenant.account c ON c.aid = s.aid WHERE s.creating_since IS NULL) a,
  (SELECT coalesce(sum(g.blobs), 0) AS blobs, coalesce(sum(g.bytes), 0) AS bytes FROM pds_tenant.blob_usage g) u,
  (SELECT count(*) AS blobs, coalesce(sum(b.size), 0) AS bytes FROM pds_tenant.blob b WHERE b.temporary) t,
  pds_tenant.stream_head h
WHERE h.id = 1;

-- name: ListUsageByBytes :many
-- Those that take most first; behind the account that had @bytes and @after.
SELECT a.aid, a.did, a.handle, coalesce(u.blobs, 0)::bigint AS blobs, coalesce(u.bytes, 0)::bigint AS bytes, u.max_bytes,
  coalesce(a.record_count, 0)::bigint AS records, coalesce(a.record_bytes, 0)::bigint AS record_bytes, a.max_records, a.max_record_bytes
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid LEFT JOIN pds_tenant.blob_usage u ON u.aid = a.aid
WHERE a.creating_since IS NULL AND (coalesce(u.bytes, 0) < @bytes::bigint OR coalesce(u.bytes, 0) = @bytes::bigint AND a.aid > @after::bigint)
ORDER BY coalesce(u.bytes, 0) DESC, a.aid LIMIT @max_rows::int;

-- name: ListUsageByAccount :many
SELECT a.aid, a.did, a.handle, coalesce(u.blobs, 0)::bigint AS blobs, coalesce(u.bytes, 0)::bigint AS bytes, u.max_bytes,
  coalesce(a.record_count, 0)::bigint AS records, coalesce(a.record_bytes, 0)::bigint AS record_bytes, a.max_records, a.max_record_bytes
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid LEFT JOIN pds_tenant.blob_usage u ON u.aid = a.aid
WHERE a.creating_since IS NULL AND a.aid > @after::bigint
ORDER BY a.aid LIMIT @max_rows::int;

-- name: GetTenantCounters :one
-- What a tenant holds, for lists of thousands: one row of counters, and two tables with a row for each account. A file
-- that no record names yet is not counted.
SELECT (SELECT count(*) FROM pds_tenant.actor a WHERE a.creating_since IS NULL)::bigint AS accounts,
  h.records, h.record_bytes, h.last_seq, h.last_us,
  u.blobs::bigint AS blobs, u.bytes::bigint AS blob_bytes
FROM pds_tenant.stream_head h,
  (SELECT coalesce(sum(g.blobs), 0) AS blobs, coalesce(sum(g.bytes), 0) AS bytes FROM pds_tenant.blob_usage g) u
WHERE h.id = 1;

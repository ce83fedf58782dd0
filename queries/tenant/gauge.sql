-- name: GetTenantGauge :one
-- What is billed, by counters where there are. Accounts wrote since @since_rev when their newest commit is as young: a rev is a
-- time. Accounts that are being created are none yet.
SELECT a.accounts::bigint AS accounts, a.active::bigint AS active, h.records, h.record_bytes,
  u.blobs::bigint AS blobs, u.bytes::bigint AS blob_bytes
FROM pds_tenant.stream_head h,
  (SELECT count(*) AS accounts, count(*) FILTER (WHERE s.head_rev >= @since_rev::bigint) AS active
   FROM pds_tenant.actor s JOIN pds_tenant.account c ON c.aid = s.aid WHERE s.creating_since IS NULL) a,
  (SELECT coalesce(sum(g.blobs), 0) AS blobs, coalesce(sum(g.bytes), 0) AS bytes FROM pds_tenant.blob_usage g) u
WHERE h.id = 1;

-- name: CountEvents :one
-- Those of a span of time, by an index that knows ranges of rows only. Numbers that were passed over (kind 0) are none.
SELECT count(*)::bigint FROM pds_tenant.repo_event WHERE sequenced_at >= @since::timestamptz AND sequenced_at < @until::timestamptz AND kind <> 0;

-- name: GetStorage :one
-- What records and files take together, temporary files included in neither.
SELECT h.records, h.record_bytes, (SELECT coalesce(sum(g.bytes), 0) FROM pds_tenant.blob_usage g)::bigint AS blob_bytes
FROM pds_tenant.stream_head h WHERE h.id = 1;

-- name: CountAccountsUpTo :one
-- All, those included that are being created or wait for approval; no further than @most.
SELECT count(*)::bigint FROM (SELECT 1 FROM pds_tenant.account LIMIT @most::bigint) a;

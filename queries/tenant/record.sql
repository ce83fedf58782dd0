-- name: UpsertRecords :exec
-- Part of a grouped commit. A record that is taken down stays so when its owner writes it again. links: what each points
-- at, '' for nothing.
INSERT INTO pds_tenant.record (aid, path, rev, cid, value, indexed_at, link_to)
SELECT x.aid, x.path, x.rev, x.cid, x.value, x.at, nullif(x.link, '')
FROM unnest(@aids::bigint[], @revs::bigint[], @paths::text[], @cids::bytea[], @values::bytea[], @times::timestamptz[], @links::text[])
  AS x(aid, rev, path, cid, value, at, link)
JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
ON CONFLICT (aid, path) DO UPDATE SET rev = excluded.rev, cid = excluded.cid, value = excluded.value, indexed_at = excluded.indexed_at,
  link_to = excluded.link_to;

-- name: DeleteRecords :exec
-- Part of a grouped commit.
DELETE FROM pds_tenant.record r
USING unnest(@aids::bigint[], @revs::bigint[], @paths::text[]) AS x(aid, rev, path), pds_tenant.actor a
WHERE a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
  AND r.aid = x.aid AND r.path = x.path;

-- name: GetRecord :one
SELECT cid, value, rev, indexed_at, takedown_ref FROM pds_tenant.record WHERE aid = @aid AND path = @path;

-- name: GetRecordByDID :one
-- The account and, if there is one, the record: one probe of two primary keys.
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, r.cid, r.value, r.takedown_ref AS record_takedown_ref
FROM pds_tenant.actor a LEFT JOIN pds_tenant.record r ON r.aid = a.aid AND r.path = @path
WHERE a.did = @did AND a.creating_since IS NULL;

-- name: GetRecordByHandle :one
SELECT a.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, r.cid, r.value, r.takedown_ref AS record_takedown_ref
FROM pds_tenant.actor a LEFT JOIN pds_tenant.record r ON r.aid = a.aid AND r.path = @path
WHERE a.handle = @handle::text AND a.creating_since IS NULL;

-- name: ListRecordsDesc :many
-- One collection, keys falling. @lo is "collection/", @hi the exclusive upper end: a cursor's path, or "collection0". Values
-- longer than @max_value are left out: a page of them is ListLargeRecordsDesc's.
SELECT path, cid, (CASE WHEN octet_length(value) <= @max_value::int THEN value END)::bytea AS value FROM pds_tenant.record
WHERE aid = @aid AND path > @lo::text AND path < @hi::text AND takedown_ref IS NULL
ORDER BY path DESC LIMIT @max_rows::int;

-- name: ListRecordsAsc :many
SELECT path, cid, (CASE WHEN octet_length(value) <= @max_value::int THEN value END)::bytea AS value FROM pds_tenant.record
WHERE aid = @aid AND path > @lo::text AND path < @hi::text AND takedown_ref IS NULL
ORDER BY path LIMIT @max_rows::int;

-- name: ListLargeRecordsDesc :many
-- The same for a page with large values: it ends with the record that makes it @max_bytes or more. The length of a value
-- is known without reading it.
SELECT s.path, s.cid, s.value FROM (
  SELECT r.path, r.cid, r.value, sum(octet_length(r.value)) OVER (ORDER BY r.path DESC ROWS UNBOUNDED PRECEDING) - octet_length(r.value) AS before
  FROM (
    SELECT path, cid, value FROM pds_tenant.record
    WHERE aid = @aid AND path > @lo::text AND path < @hi::text AND takedown_ref IS NULL
    ORDER BY path DESC LIMIT @max_rows::int
  ) r
) s WHERE s.before < @max_bytes::bigint ORDER BY s.path DESC;

-- name: ListLargeRecordsAsc :many
SELECT s.path, s.cid, s.value FROM (
  SELECT r.path, r.cid, r.value, sum(octet_length(r.value)) OVER (ORDER BY r.path ROWS UNBOUNDED PRECEDING) - octet_length(r.value) AS before
  FROM (
    SELECT path, cid, value FROM pds_tenant.record
    WHERE aid = @aid AND path > @lo::text AND path < @hi::text AND takedown_ref IS NULL
    ORDER BY path LIMIT @max_rows::int
  ) r
) s WHERE s.before < @max_bytes::bigint ORDER BY s.path;

-- name: ListCollections :many
-- Jumps from collection to collection: as many probes as there are collections ('0' follows '/').
WITH RECURSIVE c AS (
  (SELECT r.path FROM pds_tenant.record r WHERE r.aid = @aid ORDER BY r.path LIMIT 1)
  UNION ALL
  SELECT (SELECT r.path FROM pds_tenant.record r
    WHERE r.aid = @aid AND r.path >= (split_part(c.path, '/', 1) || '0') ORDER BY r.path LIMIT 1)
  FROM c WHERE c.path IS NOT NULL
)
SELECT split_part(c.path, '/', 1)::text AS collection FROM c WHERE c.path IS NOT NULL LIMIT @max_rows::int;

-- name: ListRecordsByCID :many
-- Reads through all records of the repository. Several paths may hold one block: it comes once. Those behind the one that
-- makes it @max_bytes or more come without their value.
SELECT s.cid, (CASE WHEN s.before < @max_bytes::bigint THEN s.value END)::bytea AS value FROM (
  SELECT r.cid, r.value, sum(octet_length(r.value)) OVER (ORDER BY r.cid ROWS UNBOUNDED PRECEDING) - octet_length(r.value) AS before
  FROM (
    SELECT DISTINCT ON (cid) cid, value FROM pds_tenant.record
    WHERE aid = @aid AND cid = ANY (@cids::bytea[]) ORDER BY cid LIMIT @max_rows::int
  ) r
) s ORDER BY s.cid;

-- name: ListRecordRows :many
-- Pages in tree order, for checks.
SELECT path, rev, cid, value, link_to FROM pds_tenant.record
WHERE aid = @aid AND path > @after::text ORDER BY path LIMIT @max_rows::int;

-- name: ListRecordsAt :many
-- The record at one path, if there is one.
SELECT cid, value FROM pds_tenant.record WHERE aid = @aid AND path = @path LIMIT 1;

-- name: ListRecordCIDs :many
-- Pages in tree order, without the blocks: what an import is held against.
SELECT path, cid FROM pds_tenant.record
WHERE aid = @aid AND path > @after::text ORDER BY path LIMIT @max_rows::int;

-- name: ListBacklinks :many
-- The records of one collection that point at a subject. @lo and @hi are "collection/" and "collection0".
SELECT path FROM pds_tenant.record
WHERE aid = @aid AND link_to = @link_to::text AND path > @lo::text AND path < @hi::text
ORDER BY path LIMIT @max_rows::int;

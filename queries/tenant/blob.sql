-- The lock order of everything about blobs: actor rows by aid, then blob, record_blob, blob_usage, the trash.

-- name: LockBlobOwners :exec
-- Statements after it see which blobs there are and what refers to them, and nobody changes it until the end. The subquery
-- is for a plan that stays: see UpdateRepoHeads.
SELECT a.aid FROM pds_tenant.actor a WHERE a.aid = ANY ((SELECT @aids::bigint[])::bigint[]) ORDER BY a.aid FOR NO KEY UPDATE;

-- name: UpsertBlobs :many
-- Behind LockBlobOwners (and LockBlobIntents): uploads whose objects are there. A blob that is there already stays as it
-- is. One answer for each upload, by its place n in the arrays, from 1. LATERAL and LIMIT look each blob up by its key: a
-- plan that was made while the table was small must not go on reading all of it.
WITH x AS (
  SELECT u.aid, u.cid, u.mime_type, u.size, u.store, u.object, u.announced, u.n, coalesce(b.known, false) AS known, coalesce(b.takendown, false) AS takendown
  FROM unnest(@aids::bigint[], @cids::bytea[], @mime_types::text[], @sizes::bigint[], @stores::smallint[], @objects::text[], @announced::boolean[])
    WITH ORDINALITY AS u(aid, cid, mime_type, size, store, object, announced, n)
  LEFT JOIN LATERAL (
    SELECT true AS known, b.takedown_ref IS NOT NULL AS takendown FROM pds_tenant.blob b WHERE b.aid = u.aid AND b.cid = u.cid LIMIT 1
  ) b ON true
), fresh AS (
  SELECT x.aid, x.cid, x.mime_type, x.size, x.store, x.object, x.announced, x.n,
    sum(x.size) OVER (PARTITION BY x.aid ORDER BY x.n) AS mine, sum(x.size) OVER (ORDER BY x.n) AS ours
  FROM x JOIN pds_tenant.actor a ON a.aid = x.aid AND a.creating_since IS NULL
  WHERE NOT x.known
), fits AS (
  SELECT f.aid, f.cid, f.mime_type, f.size, f.store, f.object, f.announced, f.n
  FROM fresh f LEFT JOIN pds_tenant.blob_usage u ON u.aid = f.aid
  WHERE (coalesce(u.max_bytes, @account_limit::bigint) = 0 OR coalesce(u.bytes, 0) + f.mine <= coalesce(u.max_bytes, @account_limit::bigint))
    AND (@tenant_limit::bigint = 0 OR f.ours + (SELECT coalesce(sum(t.bytes), 0) FROM pds_tenant.blob_usage t) <= @tenant_limit::bigint)
    AND (NOT f.announced OR EXISTS (SELECT 1 FROM pds_tenant.tenant_item t
      WHERE t.kind = 12 AND t.key = int2send(f.store) || convert_to(f.object, 'UTF8') AND t.tries = 0))
), made AS (
  INSERT INTO pds_tenant.blob AS b (aid, cid, mime_type, size, temporary, store, object, created_at)
  SELECT f.aid, f.cid,
    coalesce((SELECT min(r.mime_type) FROM pds_tenant.record_blob r WHERE r.aid = f.aid AND r.cid = f.cid AND r.mime_type <> ''), f.mime_type),
    f.size, NOT EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = f.aid AND r.cid = f.cid), f.store, f.object, @now::timestamptz
  FROM fits f
  RETURNING b.aid, b.cid, b.mime_type, b.temporary
), counted AS (
  INSERT INTO pds_tenant.blob_usage AS u (aid, blobs, bytes)
  SELECT f.aid, count(*), sum(f.size) FROM fits f GROUP BY f.aid ORDER BY f.aid
  ON CONFLICT (aid) DO UPDATE SET blobs = u.blobs + excluded.blobs, bytes = u.bytes + excluded.bytes
), settled AS (
  DELETE FROM pds_tenant.tenant_item t USING fits f WHERE f.announced AND t.kind = 12 AND t.key = int2send(f.store) || convert_to(f.object, 'UTF8')
)
SELECT x.n::bigint AS n, (m.aid IS NOT NULL)::boolean AS made, (m.aid IS NOT NULL AND NOT m.temporary)::boolean AS awaited, x.known::boolean AS known,
  (f.aid IS NOT NULL)::boolean AS refused, coalesce(m.mime_type, '')::text AS mime_type, x.takendown::boolean AS takendown
FROM x LEFT JOIN made m ON m.aid = x.aid AND m.cid = x.cid
LEFT JOIN fresh f ON f.n = x.n AND m.aid IS NULL;

-- name: UpdateBlobObject :execrows
-- Another object takes the place of the one named, unless that has happened already.
UPDATE pds_tenant.blob SET store = @new_store, object = @new_object
WHERE aid = @aid AND cid = @cid AND store = @store AND object = @object;

-- name: GetBlob :one
-- What getBlob serves: referenced by a record, not only there.
SELECT b.mime_type, b.size, b.store, b.object, b.takedown_ref, b.created_at,
  EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = b.aid AND r.cid = b.cid) AS referenced
FROM pds_tenant.blob b WHERE b.aid = @aid AND b.cid = @cid;

-- name: ListBlobsForWrite :many
-- What a record's references are held against.
SELECT b.cid, b.mime_type, b.size, (b.takedown_ref IS NOT NULL)::boolean AS takendown
FROM pds_tenant.blob b WHERE b.aid = @aid AND b.cid = ANY (@cids::bytea[]) LIMIT 10000;

-- name: UpdateRepoHeadsWithBlobs :exec
-- UpdateRepoHeads, behind LockBlobOwners, for groups in which records refer to blobs: a commit with a reference that
-- does not hold loses like one that lost the compare-and-set.
UPDATE pds_tenant.actor t SET head_cid = x.cid, head_rev = x.rev, head_commit = x.block,
  record_count = t.record_count + x.records, record_bytes = t.record_bytes + x.bytes - o.bytes,
  commit_records = x.records, commit_bytes = x.bytes - o.bytes
FROM unnest(@aids::bigint[], @prevs::bigint[], @revs::bigint[], @cids::bytea[], @blocks::bytea[],
    @records::int[], @bytes::bigint[], @limits::int[]) AS x(aid, prev, rev, cid, block, records, bytes, limits),
  LATERAL (
    SELECT coalesce(sum((SELECT octet_length(r.value) FROM pds_tenant.record r WHERE r.aid = p.aid AND r.path = p.path)), 0)::bigint AS bytes
    FROM unnest(@old_aids::bigint[], @old_paths::text[]) AS p(aid, path) WHERE p.aid = x.aid
  ) o
WHERE t.aid = x.aid AND t.head_rev = x.prev AND t.limits_version = x.limits
  AND t.deactivated_at IS NULL AND t.takedown_ref IS NULL AND t.creating_since IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM unnest(@ref_aids::bigint[], @ref_cids::bytea[], @ref_mime_types::text[], @ref_sizes::bigint[]) AS r(aid, cid, mime_type, size)
    WHERE r.aid = x.aid AND NOT EXISTS (
      SELECT 1 FROM pds_tenant.blob b
      WHERE b.aid = r.aid AND b.cid = r.cid AND b.mime_type = r.mime_type AND b.size = r.size AND b.takedown_ref IS NULL));

-- name: UpsertRecordBlobs :exec
-- Part of a grouped commit: the records' references, and their blobs are temporary no more.
WITH won AS (
  SELECT DISTINCT x.aid, x.rev, x.path, x.cid, x.mime_type
  FROM unnest(@aids::bigint[], @revs::bigint[], @paths::text[], @cids::bytea[], @mime_types::text[]) AS x(aid, rev, path, cid, mime_type)
  JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
), kept AS (
  UPDATE pds_tenant.blob b SET temporary = false FROM won WHERE b.aid = won.aid AND b.cid = won.cid AND b.temporary
)
INSERT INTO pds_tenant.record_blob (aid, cid, path, rev, mime_type)
SELECT DISTINCT ON (won.aid, won.cid, won.path) won.aid, won.cid, won.path, won.rev, won.mime_type FROM won
ON CONFLICT (aid, cid, path) DO UPDATE SET rev = excluded.rev, mime_type = excluded.mime_type;

-- name: DeleteRecordBlobs :exec
-- Part of a grouped commit, behind UpsertRecordBlobs: records that were deleted or replaced refer to nothing any more,
-- and blobs without a reference go. What the new record refers to has its rev already. Blobs that are taken down stay,
-- so that they are not uploaded again.
WITH won AS (
  SELECT x.aid, x.rev, x.path
  FROM unnest(@aids::bigint[], @revs::bigint[], @paths::text[]) AS x(aid, rev, path)
  JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
), gone AS (
  DELETE FROM pds_tenant.record_blob r USING won WHERE r.aid = won.aid AND r.path = won.path AND r.rev < won.rev
  RETURNING r.aid, r.cid
), dead AS (
  DELETE FROM pds_tenant.blob b USING (SELECT DISTINCT gone.aid, gone.cid FROM gone) g
  WHERE b.aid = g.aid AND b.cid = g.cid AND b.takedown_ref IS NULL AND NOT EXISTS (
    SELECT 1 FROM pds_tenant.record_blob r LEFT JOIN won w ON w.aid = r.aid AND w.path = r.path
    WHERE r.aid = b.aid AND r.cid = b.cid AND (w.path IS NULL OR r.rev >= w.rev))
  RETURNING b.aid, b.size, b.store, b.object
), counted AS (
  UPDATE pds_tenant.blob_usage u SET blobs = u.blobs - d.blobs, bytes = u.bytes - d.bytes
  FROM (SELECT dead.aid, count(*) AS blobs, sum(dead.size) AS bytes FROM dead GROUP BY dead.aid) d WHERE u.aid = d.aid
)
INSERT INTO pds_tenant.tenant_item (kind, key, number, due_at)
SELECT 12, int2send(dead.store) || convert_to(dead.object, 'UTF8'), dead.store, @now::timestamptz FROM dead
ON CONFLICT (kind, key) DO NOTHING;

-- name: ListBlobs :many
-- What records refer to and is there. @since is the rev that the referring record must be newer than.
SELECT b.cid FROM pds_tenant.blob b
WHERE b.aid = @aid AND b.cid > @after::bytea AND b.takedown_ref IS NULL
  AND EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = b.aid AND r.cid = b.cid AND r.rev > @since::bigint)
ORDER BY b.cid LIMIT @max_rows::int;

-- name: GetBlobAwaited :one
-- A record names it, and it is not there.
SELECT (EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = @aid AND r.cid = @cid)
  AND NOT EXISTS (SELECT 1 FROM pds_tenant.blob b WHERE b.aid = @aid AND b.cid = @cid))::boolean AS awaited;

-- name: ListMissingBlobs :many
SELECT r.cid, min(r.path)::text AS path FROM pds_tenant.record_blob r
WHERE r.aid = @aid AND r.cid > @after::bytea
  AND NOT EXISTS (SELECT 1 FROM pds_tenant.blob b WHERE b.aid = r.aid AND b.cid = r.cid)
GROUP BY r.cid ORDER BY r.cid LIMIT @max_rows::int;

-- name: CountBlobs :one
-- For checkAccountStatus: what records expect, and what is there.
SELECT (SELECT count(DISTINCT r.cid) FROM pds_tenant.record_blob r WHERE r.aid = @aid)::bigint AS expected,
  coalesce((SELECT u.blobs FROM pds_tenant.blob_usage u WHERE u.aid = @aid), 0)::bigint AS held,
  coalesce((SELECT u.bytes FROM pds_tenant.blob_usage u WHERE u.aid = @aid), 0)::bigint AS bytes,
  coalesce((SELECT u.max_bytes FROM pds_tenant.blob_usage u WHERE u.aid = @aid), -1)::bigint AS max_bytes;

-- name: GetBlobTotals :one
SELECT coalesce(sum(u.blobs), 0)::bigint AS blobs, coalesce(sum(u.bytes), 0)::bigint AS bytes, count(*)::bigint AS accounts FROM pds_tenant.blob_usage u;

-- name: ListBlobUsage :many
-- The accounts that take most.
SELECT u.aid, a.did, a.handle, u.blobs, u.bytes, u.max_bytes FROM pds_tenant.blob_usage u JOIN pds_tenant.actor a ON a.aid = u.aid
ORDER BY u.bytes DESC, u.aid LIMIT @max_rows::int;

-- name: UpsertBlobLimit :exec
INSERT INTO pds_tenant.blob_usage AS u (aid, max_bytes) VALUES (@aid, sqlc.narg(max_bytes)::bigint)
ON CONFLICT (aid) DO UPDATE SET max_bytes = excluded.max_bytes;

-- name: UpdateBlobTakedown :execrows
-- Behind LockBlobOwners.
UPDATE pds_tenant.blob b SET takedown_ref = sqlc.narg(takedown_ref)::text,
  temporary = NOT EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = b.aid AND r.cid = b.cid),
  created_at = CASE WHEN sqlc.narg(takedown_ref)::text IS NULL THEN sqlc.arg(now)::timestamptz ELSE b.created_at END
WHERE b.aid = sqlc.arg(aid)::bigint AND b.cid = sqlc.arg(cid)::bytea;

-- name: ListExpiredBlobOwners :many
SELECT b.aid FROM pds_tenant.blob b
WHERE b.temporary AND b.created_at < @before::timestamptz AND b.takedown_ref IS NULL
ORDER BY b.created_at LIMIT @max_rows::int;

-- name: DeleteExpiredBlobs :execrows
-- Behind LockBlobOwners.
WITH dead AS (
  DELETE FROM pds_tenant.blob b
  WHERE b.aid = ANY (@aids::bigint[]) AND b.temporary AND b.created_at < @before::timestamptz AND b.takedown_ref IS NULL
    AND NOT EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = b.aid AND r.cid = b.cid)
  RETURNING b.aid, b.size, b.store, b.object
), counted AS (
  UPDATE pds_tenant.blob_usage u SET blobs = u.blobs - d.blobs, bytes = u.bytes - d.bytes
  FROM (SELECT dead.aid, count(*) AS blobs, sum(dead.size) AS bytes FROM dead GROUP BY dead.aid) d WHERE u.aid = d.aid
)
INSERT INTO pds_tenant.tenant_item (kind, key, number, due_at)
SELECT 12, int2send(dead.store) || convert_to(dead.object, 'UTF8'), dead.store, @now::timestamptz FROM dead
ON CONFLICT (kind, key) DO NOTHING;

-- name: DeleteBlobsSlice :execrows
-- A slice of a deleted account's blobs; the trash has their objects then, due at once. It counts what it deleted.
WITH dead AS (
  DELETE FROM pds_tenant.blob b WHERE b.aid = @aid::bigint AND b.cid IN (
    SELECT s.cid FROM pds_tenant.blob s WHERE s.aid = @aid::bigint ORDER BY s.cid LIMIT @max_rows::int)
  RETURNING b.aid, b.size, b.store, b.object
), counted AS (
  UPDATE pds_tenant.blob_usage u SET blobs = u.blobs - d.blobs, bytes = u.bytes - d.bytes
  FROM (SELECT dead.aid, count(*) AS blobs, sum(dead.size) AS bytes FROM dead GROUP BY dead.aid) d WHERE u.aid = d.aid
)
INSERT INTO pds_tenant.tenant_item (kind, key, number, due_at)
SELECT 12, int2send(dead.store) || convert_to(dead.object, 'UTF8'), dead.store, 'epoch'::timestamptz FROM dead
ON CONFLICT (kind, key) DO UPDATE SET due_at = excluded.due_at;

-- name: DeleteRecordBlobsSlice :execrows
DELETE FROM pds_tenant.record_blob WHERE aid = @aid::bigint AND (cid, path) IN (
  SELECT r.cid, r.path FROM pds_tenant.record_blob r WHERE r.aid = @aid::bigint ORDER BY r.cid, r.path LIMIT @max_rows::int);

-- name: DeleteBlobUsage :exec
DELETE FROM pds_tenant.blob_usage WHERE aid = @aid;

-- name: UpdateBlobRenewed :one
-- A blob that is uploaded again: a temporary one begins its time again, and is of the type that this upload says.
UPDATE pds_tenant.blob SET created_at = CASE WHEN temporary THEN @now::timestamptz ELSE created_at END,
  mime_type = CASE WHEN temporary AND takedown_ref IS NULL THEN @mime_type::text ELSE mime_type END
WHERE aid = @aid AND cid = @cid
RETURNING mime_type, size, store, object, takedown_ref;

-- name: ListBlobsMisplaced :many
-- Blobs that are taken down and lie where blobs are served from, or the reverse: the queue of moves in and out of the
-- quarantine. The index blob_misplaced has these and no others.
SELECT b.aid, a.did, b.cid, b.size, b.mime_type, b.temporary, b.store, b.object, b.takedown_ref, b.created_at
FROM pds_tenant.blob b JOIN pds_tenant.actor a ON a.aid = b.aid
WHERE (b.takedown_ref IS NOT NULL) <> (b.object LIKE 'quarantine/%') AND (b.aid, b.cid) > (@after_aid::bigint, @after_cid::bytea)
ORDER BY b.aid, b.cid LIMIT @max_rows::int;

-- Stores are items of kind 11.

-- name: ListBlobStores :many
SELECT number::smallint AS store, value AS location, secret AS sealed FROM pds_tenant.tenant_item WHERE kind = 11 ORDER BY key LIMIT 1000;

-- name: InsertBlobStore :exec
-- Two processes that meet a new location at once agree on the row that came first.
INSERT INTO pds_tenant.tenant_item (kind, key, lookup, number, value, created_at)
SELECT 11, int2send((coalesce(max(s.number), 0) + 1)::smallint), convert_to(@location::text, 'UTF8'), coalesce(max(s.number), 0) + 1, @location::text, @created_at::timestamptz
FROM pds_tenant.tenant_item s WHERE s.kind = 11
ON CONFLICT DO NOTHING;

-- name: UpdateBlobStoreSealed :execrows
UPDATE pds_tenant.tenant_item SET secret = @sealed::bytea WHERE kind = 11 AND key = int2send(@store::smallint);

-- name: UpdateBlobStoreLocation :execrows
UPDATE pds_tenant.tenant_item SET value = @new_location::text, lookup = convert_to(@new_location::text, 'UTF8')
WHERE kind = 11 AND lookup = convert_to(@location::text, 'UTF8');

-- name: ListBlobsIn :many
-- A page of what lies in a store, or in any (0), by primary key.
SELECT b.aid, a.did, b.cid, b.size, b.mime_type, b.temporary, b.store, b.object, b.takedown_ref, b.created_at
FROM pds_tenant.blob b JOIN pds_tenant.actor a ON a.aid = b.aid
WHERE (b.aid, b.cid) > (@after_aid::bigint, @after_cid::bytea) AND (@store::smallint = 0 OR b.store = @store::smallint)
ORDER BY b.aid, b.cid LIMIT @max_rows::int;

-- name: CountBlobsIn :one
SELECT count(*)::bigint AS blobs, coalesce(sum(b.size), 0)::bigint AS bytes FROM pds_tenant.blob b WHERE b.store = @store;

-- name: ListBlobObjects :many
-- Of some accounts: a DID's, and those that are being purged.
SELECT b.cid, b.store, b.object FROM pds_tenant.blob b WHERE b.aid = ANY (@aids::bigint[]) AND b.cid = ANY (@cids::bytea[]) LIMIT 10000;

-- name: ListBlobTrashed :many
SELECT convert_from(substring(t.key FROM 3), 'UTF8')::text AS object FROM pds_tenant.tenant_item t
WHERE t.kind = 12 AND t.key = ANY (ARRAY(SELECT int2send(@store::smallint) || convert_to(o, 'UTF8') FROM unnest(@objects::text[]) AS o)) LIMIT 10000;

-- name: ListBlobsWronglyKept :many
-- For checks: blobs whose state is not what the references say.
SELECT b.aid, b.cid, b.temporary FROM pds_tenant.blob b
WHERE b.takedown_ref IS NULL AND b.temporary = EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = b.aid AND r.cid = b.cid)
ORDER BY b.aid, b.cid LIMIT @max_rows::int;

-- name: ListBlobsInTrash :many
-- For checks: blobs whose object is to be deleted.
SELECT b.aid, b.cid, b.store, b.object FROM pds_tenant.tenant_item t
JOIN pds_tenant.blob b ON int2send(b.store) || convert_to(b.object, 'UTF8') = t.key
WHERE t.kind = 12 ORDER BY b.aid, b.cid LIMIT @max_rows::int;

-- name: ListBlobMiscounts :many
-- For checks: accounts whose counters are not what they count.
SELECT x.aid::bigint AS aid, x.blobs::bigint AS blobs, x.bytes::bigint AS bytes, x.counted_blobs::bigint AS counted_blobs, x.counted_bytes::bigint AS counted_bytes FROM (
  SELECT coalesce(t.aid, u.aid) AS aid, coalesce(t.blobs, 0) AS blobs, coalesce(t.bytes, 0) AS bytes,
    coalesce(u.blobs, 0) AS counted_blobs, coalesce(u.bytes, 0) AS counted_bytes
  FROM (SELECT b.aid, count(*) AS blobs, sum(b.size) AS bytes FROM pds_tenant.blob b GROUP BY b.aid) t
  FULL JOIN pds_tenant.blob_usage u ON u.aid = t.aid
) x WHERE x.blobs <> x.counted_blobs OR x.bytes <> x.counted_bytes ORDER BY x.aid LIMIT @max_rows::int;

-- name: UpdateBlobUsageTrue :exec
-- Behind LockBlobOwners: counts an account's blobs anew.
INSERT INTO pds_tenant.blob_usage AS u (aid, blobs, bytes)
SELECT @aid::bigint, count(*), coalesce(sum(b.size), 0) FROM pds_tenant.blob b WHERE b.aid = @aid::bigint
ON CONFLICT (aid) DO UPDATE SET blobs = excluded.blobs, bytes = excluded.bytes;

-- name: UpdateBlobTemporaryTrue :exec
-- Behind LockBlobOwners: makes a blob's state what the references say.
UPDATE pds_tenant.blob b SET created_at = @now::timestamptz,
  temporary = NOT EXISTS (SELECT 1 FROM pds_tenant.record_blob r WHERE r.aid = b.aid AND r.cid = b.cid)
WHERE b.aid = @aid::bigint AND b.cid = @cid::bytea;

-- name: DeleteLostBlob :execrows
-- Behind LockBlobOwners: a blob whose bytes are gone; what refers to it misses it then, and says so.
WITH dead AS (
  DELETE FROM pds_tenant.blob b WHERE b.aid = @aid::bigint AND b.cid = @cid::bytea AND b.store = @store::smallint AND b.object = @object::text
  RETURNING b.aid, b.size
)
UPDATE pds_tenant.blob_usage u SET blobs = u.blobs - 1, bytes = u.bytes - dead.size FROM dead WHERE u.aid = dead.aid;

-- name: ListRecordBlobs :many
-- Streamed, for checks.
SELECT r.path, r.cid FROM pds_tenant.record_blob r WHERE r.aid = @aid;

-- name: ListRecordsWithBlobs :many
-- Streamed, for checks: records that may refer to blobs. repodb's blobMarks are the same.
SELECT r.path, r.value FROM pds_tenant.record r
WHERE r.aid = @aid AND (position('mimeType'::bytea IN r.value) > 0 OR position('$typedblob'::bytea IN r.value) > 0);

-- name: ListBlobAccounts :many
SELECT a.aid, a.did FROM pds_tenant.actor a WHERE a.aid > @after_aid AND a.creating_since IS NULL ORDER BY a.aid LIMIT @max_rows::int;

-- name: GetActorAIDs :many
SELECT a.aid, a.did FROM pds_tenant.actor a WHERE a.did = ANY (@dids::text[]) LIMIT 1000;

-- name: DeleteRecordBlob :exec
-- Behind LockBlobOwners: unless the record says otherwise by now, a reference that no record has.
DELETE FROM pds_tenant.record_blob r WHERE r.aid = @aid AND r.cid = @cid AND r.path = @path
  AND NOT EXISTS (SELECT 1 FROM pds_tenant.record c WHERE c.aid = r.aid AND c.path = r.path
    AND (position(r.cid IN c.value) > 0 OR position(convert_to(@cid_text::text, 'UTF8') IN c.value) > 0)); -- legacy references are text

-- name: UpsertRecordBlobTrue :exec
-- Behind LockBlobOwners: a reference that a record has, if it still has it.
INSERT INTO pds_tenant.record_blob (aid, cid, path, rev, mime_type)
SELECT c.aid, @cid::bytea, c.path, c.rev, CASE WHEN octet_length(@mime_type::text) <= 255 THEN @mime_type::text ELSE '' END FROM pds_tenant.record c
WHERE c.aid = @aid::bigint AND c.path = @path::text
  AND (position(@cid::bytea IN c.value) > 0 OR position(convert_to(@cid_text::text, 'UTF8') IN c.value) > 0)
ON CONFLICT (aid, cid, path) DO NOTHING;

-- name: CountMissingBlobs :one
SELECT count(DISTINCT r.cid)::bigint FROM pds_tenant.record_blob r
WHERE r.aid = @aid AND NOT EXISTS (SELECT 1 FROM pds_tenant.blob b WHERE b.aid = r.aid AND b.cid = r.cid);

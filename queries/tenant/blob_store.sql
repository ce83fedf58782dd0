-- name: ListBlobStores :many
SELECT store, location, sealed FROM pds_tenant.blob_store ORDER BY store LIMIT 1000;

-- name: InsertBlobStore :exec
-- Two processes that meet a new location at once agree on the row that came first.
INSERT INTO pds_tenant.blob_store (store, location, created_at)
SELECT coalesce(max(s.store), 0) + 1, @location::text, @created_at::timestamptz FROM pds_tenant.blob_store s
ON CONFLICT DO NOTHING;

-- name: UpdateBlobStoreSealed :execrows
UPDATE pds_tenant.blob_store SET sealed = @sealed WHERE store = @store;

-- name: UpdateBlobStoreLocation :execrows
UPDATE pds_tenant.blob_store SET location = @new_location::text WHERE location = @location::text;

-- name: ListBlobsIn :many
-- A page of what lies in a store, or in any (0), by primary key.
SELECT b.aid, a.did, b.cid, b.size, b.mime_type, b.temporary, b.store, b.object, b.takedown_ref, b.created_at
FROM pds_tenant.blob b JOIN pds_tenant.actor a ON a.aid = b.aid
WHERE (b.aid, b.cid) > (@after_aid::bigint, @after_cid::bytea) AND (@store::smallint = 0 OR b.store = @store::smallint)
ORDER BY b.aid, b.cid LIMIT @max_rows::int;

-- name: CountBlobsIn :one
SELECT count(*)::bigint AS blobs, coalesce(sum(b.size), 0)::bigint AS bytes FROM pds_tenant.blob b WHERE b.store = @store;

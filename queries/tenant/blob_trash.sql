-- name: InsertBlobTrash :exec
INSERT INTO pds_tenant.blob_trash (store, object, due_at) VALUES (@store, @object, @due_at)
ON CONFLICT (store, object) DO UPDATE SET due_at = least(blob_trash.due_at, excluded.due_at);

-- name: LockBlobIntents :exec
-- Keeps announced uploads from being cleared away while they end.
SELECT t.object FROM pds_tenant.blob_trash t
WHERE (t.store, t.object) IN (SELECT unnest(@stores::smallint[]), unnest(@objects::text[])) ORDER BY t.store, t.object FOR UPDATE;

-- name: UpdateBlobTrashClaimed :many
-- Takes what is due; others get it again when this process has not ended it by then.
UPDATE pds_tenant.blob_trash t SET due_at = @until::timestamptz, attempts = t.attempts + 1
WHERE (t.store, t.object) IN (
  SELECT d.store, d.object FROM pds_tenant.blob_trash d WHERE d.due_at <= @now::timestamptz ORDER BY d.due_at LIMIT @max_rows::int FOR UPDATE SKIP LOCKED)
RETURNING t.store, t.object, t.attempts;

-- name: DeleteBlobTrash :exec
DELETE FROM pds_tenant.blob_trash
WHERE (store, object) IN (SELECT unnest(@stores::smallint[]), unnest(@objects::text[]));

-- name: UpdateBlobTrashFailed :exec
UPDATE pds_tenant.blob_trash SET due_at = @due_at, last_error = @last_error WHERE store = @store AND object = @object;

-- name: CountBlobTrash :one
SELECT count(*)::bigint AS objects, coalesce(sum((attempts > 1)::int), 0)::bigint AS failing FROM pds_tenant.blob_trash WHERE due_at <= @now::timestamptz;

-- name: UpdateBlobTrashHastened :exec
-- What waits out its grace goes now. Announced uploads and copies are due later than any grace, and stay.
UPDATE pds_tenant.blob_trash SET due_at = @now::timestamptz
WHERE store = ANY (@stores::smallint[]) AND object >= @first::text AND object < @behind::text
  AND due_at > @now::timestamptz AND due_at <= @until::timestamptz;

-- Items of kind 12. The key is the store's two bytes and the object's name.

-- name: InsertBlobTrash :exec
INSERT INTO pds_tenant.tenant_item AS t (kind, key, number, due_at)
VALUES (12, int2send(@store::smallint) || convert_to(@object::text, 'UTF8'), @store::smallint, @due_at::timestamptz)
ON CONFLICT (kind, key) DO UPDATE SET due_at = least(t.due_at, excluded.due_at);

-- name: LockBlobIntents :exec
-- Keeps announced uploads from being cleared away while they end.
SELECT t.key FROM pds_tenant.tenant_item t
WHERE t.kind = 12 AND t.key = ANY (ARRAY(SELECT int2send(x.store) || convert_to(x.object, 'UTF8') FROM unnest(@stores::smallint[], @objects::text[]) AS x(store, object)))
ORDER BY t.key FOR UPDATE;

-- name: UpdateBlobTrashClaimed :many
-- Takes what is due; others get it again when this process has not ended it by then.
UPDATE pds_tenant.tenant_item t SET due_at = @until::timestamptz, tries = t.tries + 1
WHERE t.kind = 12 AND t.key IN (
  SELECT d.key FROM pds_tenant.tenant_item d WHERE d.kind = 12 AND d.due_at <= @now::timestamptz ORDER BY d.due_at LIMIT @max_rows::int FOR UPDATE SKIP LOCKED)
RETURNING t.number::smallint AS store, convert_from(substring(t.key FROM 3), 'UTF8')::text AS object, t.tries AS attempts;

-- name: DeleteBlobTrash :exec
DELETE FROM pds_tenant.tenant_item
WHERE kind = 12 AND key = ANY (ARRAY(SELECT int2send(x.store) || convert_to(x.object, 'UTF8') FROM unnest(@stores::smallint[], @objects::text[]) AS x(store, object)));

-- name: UpdateBlobTrashFailed :exec
UPDATE pds_tenant.tenant_item SET due_at = @due_at::timestamptz, note = @last_error
WHERE kind = 12 AND key = int2send(@store::smallint) || convert_to(@object::text, 'UTF8');

-- name: CountBlobTrash :one
SELECT count(*)::bigint AS objects, coalesce(sum((tries > 1)::int), 0)::bigint AS failing FROM pds_tenant.tenant_item WHERE kind = 12 AND due_at <= @now::timestamptz;

-- name: UpdateBlobTrashHastened :exec
-- What waits out its grace goes now. Announced uploads and copies are due later than any grace, and stay.
UPDATE pds_tenant.tenant_item t SET due_at = @now::timestamptz
FROM unnest(@stores::smallint[]) AS s(store)
WHERE t.kind = 12 AND t.key >= int2send(s.store) || convert_to(@first::text, 'UTF8') AND t.key < int2send(s.store) || convert_to(@behind::text, 'UTF8')
  AND t.due_at > @now::timestamptz AND t.due_at <= @until::timestamptz;

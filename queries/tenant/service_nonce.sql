-- Items of kind 13.

-- name: InsertServiceNonce :execrows
-- 0 rows: the token was used before.
INSERT INTO pds_tenant.tenant_item (kind, key, due_at) VALUES (13, @digest, @expires_at::timestamptz) ON CONFLICT DO NOTHING;

-- name: DeleteExpiredServiceNonces :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 13 AND key IN (
  SELECT n.key FROM pds_tenant.tenant_item n WHERE n.kind = 13 AND n.due_at <= @before::timestamptz ORDER BY n.due_at LIMIT @max_rows::int);

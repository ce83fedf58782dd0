-- name: InsertServiceNonce :execrows
-- 0 rows: the token was used before.
INSERT INTO pds_tenant.service_nonce (digest, expires_at) VALUES (@digest, @expires_at) ON CONFLICT DO NOTHING;

-- name: DeleteExpiredServiceNonces :execrows
DELETE FROM pds_tenant.service_nonce WHERE digest IN (
  SELECT n.digest FROM pds_tenant.service_nonce n WHERE n.expires_at <= @before::timestamptz ORDER BY n.expires_at LIMIT @max_rows::int);

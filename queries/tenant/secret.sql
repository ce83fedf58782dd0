-- Items of kind 1. What the columns of tenant_item say of each kind stands in schema/tenant/00017_tenant_item.sql.
--
-- Where an item is asked for by its key or by what is looked up, its time is compared as coalesce(due_at, 'infinity'): a
-- plan that was made while the table was small must not go by the time instead.

-- name: InsertSecret :exec
-- Keeps what is there: a creation that is repeated after a crash must not make a second key.
INSERT INTO pds_tenant.tenant_item (kind, key, secret, value, created_at)
VALUES (1, convert_to(@purpose::text, 'UTF8'), @sealed::bytea, @public, @created_at)
ON CONFLICT (kind, key) DO NOTHING;

-- name: GetSecret :one
SELECT secret AS sealed, value AS public FROM pds_tenant.tenant_item WHERE kind = 1 AND key = convert_to(@purpose::text, 'UTF8');

-- name: UpsertSecret :exec
INSERT INTO pds_tenant.tenant_item (kind, key, secret, value, created_at)
VALUES (1, convert_to(@purpose::text, 'UTF8'), @sealed::bytea, @public, @created_at)
ON CONFLICT (kind, key) DO UPDATE SET secret = excluded.secret, value = excluded.value, created_at = excluded.created_at;

-- name: DeleteSecret :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 1 AND key = convert_to(@purpose::text, 'UTF8');

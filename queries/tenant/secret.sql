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

-- name: GetSecretCreatedAt :one
SELECT created_at FROM pds_tenant.tenant_item WHERE kind = 1 AND key = convert_to(@purpose::text, 'UTF8');

-- name: UpsertSecret :exec
INSERT INTO pds_tenant.tenant_item (kind, key, secret, value, created_at)
VALUES (1, convert_to(@purpose::text, 'UTF8'), @sealed::bytea, @public, @created_at)
ON CONFLICT (kind, key) DO UPDATE SET secret = excluded.secret, value = excluded.value, created_at = excluded.created_at;

-- name: DeleteSecret :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 1 AND key = convert_to(@purpose::text, 'UTF8');

-- name: ListSecretsOf :many
-- A secret that is replaced now and then, and those that it replaced, the oldest first and the newest at the end: keys are
-- its purpose, and behind a blank when each was replaced.
SELECT convert_from(i.key, 'UTF8')::text AS name, i.secret AS sealed, i.created_at, i.used_at AS signs_from, i.due_at AS good_until
FROM pds_tenant.tenant_item i
WHERE i.kind = 1 AND i.key >= convert_to(@purpose::text, 'UTF8') AND i.key < convert_to(@purpose::text || '!', 'UTF8')
ORDER BY coalesce(i.due_at, 'infinity'), i.key LIMIT @max_rows::int;

-- name: LockSecret :one
SELECT created_at, used_at AS signs_from FROM pds_tenant.tenant_item WHERE kind = 1 AND key = convert_to(@purpose::text, 'UTF8') FOR UPDATE;

-- name: InsertReplacedSecret :execrows
-- Keeps the secret of a purpose under the name that it has when it is replaced.
INSERT INTO pds_tenant.tenant_item (kind, key, secret, value, created_at, used_at, due_at)
SELECT 1, convert_to(@name::text, 'UTF8'), i.secret, i.value, i.created_at, i.used_at, @good_until::timestamptz
FROM pds_tenant.tenant_item i WHERE i.kind = 1 AND i.key = convert_to(@purpose::text, 'UTF8');

-- name: UpdateSecret :execrows
UPDATE pds_tenant.tenant_item SET secret = @sealed::bytea, value = '', created_at = @created_at, used_at = @signs_from::timestamptz
WHERE kind = 1 AND key = convert_to(@purpose::text, 'UTF8');

-- name: UpdateReplacedSecrets :execrows
-- Those that were replaced before are good no longer than until then.
UPDATE pds_tenant.tenant_item SET due_at = least(due_at, @good_until::timestamptz)
WHERE kind = 1 AND key > convert_to(@purpose::text, 'UTF8') AND key < convert_to(@purpose::text || '!', 'UTF8') AND due_at > @good_until::timestamptz;

-- name: DeleteReplacedSecrets :execrows
DELETE FROM pds_tenant.tenant_item
WHERE kind = 1 AND key > convert_to(@purpose::text, 'UTF8') AND key < convert_to(@purpose::text || '!', 'UTF8') AND due_at IS NOT NULL;

-- name: DeleteExpiredSecrets :execrows
DELETE FROM pds_tenant.tenant_item WHERE kind = 1 AND key IN (
  SELECT n.key FROM pds_tenant.tenant_item n WHERE n.kind = 1 AND n.due_at <= @before::timestamptz ORDER BY n.due_at LIMIT @max_rows::int);

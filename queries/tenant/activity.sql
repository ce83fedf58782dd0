-- Items of kind 10.

-- name: LockActivity :one
-- The row is there afterwards, and nobody else's until the transaction ends.
INSERT INTO pds_tenant.account_item AS a (aid, kind, number) VALUES (@aid, 10, 1)
ON CONFLICT (aid, kind, key) DO UPDATE SET number = a.number + 1 RETURNING value AS body;

-- name: UpdateActivity :exec
UPDATE pds_tenant.account_item SET value = @body WHERE aid = @aid AND kind = 10 AND key = '';

-- name: GetActivity :one
SELECT value AS body FROM pds_tenant.account_item WHERE aid = @aid AND kind = 10 AND key = '';

-- name: LockActivity :one
-- The row is there afterwards, and nobody else's until the transaction ends.
INSERT INTO pds_tenant.activity AS a (aid, turn, body) VALUES (@aid, 1, '')
ON CONFLICT (aid) DO UPDATE SET turn = a.turn + 1 RETURNING body;

-- name: UpdateActivity :exec
UPDATE pds_tenant.activity SET body = @body WHERE aid = @aid;

-- name: GetActivity :one
SELECT body FROM pds_tenant.activity WHERE aid = @aid;

-- name: DeleteActivity :exec
DELETE FROM pds_tenant.activity WHERE aid = @aid;

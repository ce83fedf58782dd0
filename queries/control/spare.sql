-- Takes the next numbers of a counter, up to the one that is returned. See LockNextCounter.
-- name: LockNextCounters :one
UPDATE control.counter SET value = value + @many::bigint WHERE name = @name RETURNING value;

-- name: InsertSpares :exec
INSERT INTO control.spare (tenant_id, node_id, version, begun_at)
SELECT id, @node_id::int, @version::bigint, @begun_at::timestamptz FROM unnest(@tenant_ids::bigint[]) AS id;

-- Those that a program of this version may use now or soon. Those of a newer one count: two versions that run together must not
-- make spares in turns.
-- name: CountSpares :one
SELECT count(*) FROM control.spare WHERE node_id = @node_id AND (version = 0 OR version >= @version::bigint);

-- name: CountSparesBegun :one
SELECT count(*) FROM control.spare WHERE node_id = @node_id AND version = 0;

-- Takes on what an older program made, and what a maker that died has left.
-- name: LockSparesToMake :many
UPDATE control.spare s SET version = 0, begun_at = @begun_at
WHERE s.tenant_id IN (
  SELECT p.tenant_id FROM control.spare p
  WHERE p.node_id = @node_id AND (p.version > 0 AND p.version < @version::bigint OR p.version = 0 AND p.begun_at < @given_up_before::timestamptz)
  ORDER BY p.tenant_id LIMIT @max_rows::int FOR UPDATE SKIP LOCKED)
RETURNING s.tenant_id;

-- Takes numbers of schemas that are named, and no more, to make them: version -2.
-- name: LockSparesNamed :many
UPDATE control.spare s SET version = 0, begun_at = @begun_at
WHERE s.tenant_id IN (
  SELECT p.tenant_id FROM control.spare p WHERE p.node_id = @node_id AND p.version = -2
  ORDER BY p.tenant_id LIMIT @max_rows::int FOR UPDATE SKIP LOCKED)
RETURNING s.tenant_id;

-- name: UpdateSparesMade :exec
UPDATE control.spare SET version = @version::bigint WHERE tenant_id = ANY(@tenant_ids::bigint[]) AND version = 0;

-- name: UpdateSparesGivenUp :exec
UPDATE control.spare SET begun_at = '1970-01-01Z' WHERE tenant_id = ANY(@tenant_ids::bigint[]) AND version = 0;

-- Takes one for a tenant that is inserted in the same transaction.
-- name: DeleteSpareForTenant :one
DELETE FROM control.spare
WHERE tenant_id = (
  SELECT p.tenant_id FROM control.spare p WHERE p.node_id = @node_id AND p.version = @version::bigint
  ORDER BY p.tenant_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING tenant_id;

-- Keeps the spares of a database from being used, so that they can be dropped.
-- name: LockSparesToDrop :many
UPDATE control.spare SET version = -1 WHERE tenant_id IN (
  SELECT p.tenant_id FROM control.spare p WHERE p.node_id = @node_id ORDER BY p.tenant_id LIMIT @max_rows::int FOR UPDATE)
RETURNING tenant_id;

-- name: DeleteSpare :exec
DELETE FROM control.spare WHERE tenant_id = $1;

-- The databases that new tenants go to, of those that the process can reach.
-- name: ListNodesForNewTenants :many
SELECT node_id FROM control.node WHERE accepts_new AND node_id = ANY(@known::int[]) ORDER BY node_id LIMIT @max_rows::int;

-- Deleted accounts of which something is left: items of kind 12. The oldest comes first.

-- name: InsertPurge :exec
INSERT INTO pds_tenant.account_item (aid, kind, created_at, due_at) VALUES (@aid, 12, @created_at::timestamptz, @created_at::timestamptz);

-- name: LockPurge :one
-- One account for one process; others pass over it.
SELECT aid FROM pds_tenant.account_item WHERE kind = 12 AND due_at IS NOT NULL ORDER BY due_at, aid LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: LockPurgeOf :one
SELECT aid FROM pds_tenant.account_item WHERE aid = @aid AND kind = 12 AND key = '' FOR UPDATE SKIP LOCKED;

-- name: DeleteRecordsSlice :execrows
DELETE FROM pds_tenant.record WHERE aid = @aid::bigint AND path IN (
  SELECT r.path FROM pds_tenant.record r WHERE r.aid = @aid::bigint ORDER BY r.path LIMIT @max_rows::int);

-- name: DeleteNodesSlice :execrows
DELETE FROM pds_tenant.mst_node WHERE aid = @aid::bigint AND (level, after) IN (
  SELECT n.level, n.after FROM pds_tenant.mst_node n WHERE n.aid = @aid::bigint ORDER BY n.level, n.after LIMIT @max_rows::int);

-- name: ListPurges :many
SELECT aid FROM pds_tenant.account_item WHERE kind = 12 AND due_at IS NOT NULL ORDER BY due_at, aid LIMIT @max_rows::int;

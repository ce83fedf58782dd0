-- name: InsertPurge :exec
INSERT INTO pds_tenant.purge (aid, created_at) VALUES (@aid, @created_at);

-- name: LockPurge :one
-- One account for one process; others pass over it.
SELECT aid FROM pds_tenant.purge ORDER BY aid LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: LockPurgeOf :one
SELECT aid FROM pds_tenant.purge WHERE aid = @aid FOR UPDATE SKIP LOCKED;

-- name: DeletePurge :exec
DELETE FROM pds_tenant.purge WHERE aid = @aid;

-- name: DeleteRecordsSlice :execrows
DELETE FROM pds_tenant.record WHERE aid = @aid::bigint AND path IN (
  SELECT r.path FROM pds_tenant.record r WHERE r.aid = @aid::bigint ORDER BY r.path LIMIT @max_rows::int);

-- name: DeleteBacklinksSlice :execrows
DELETE FROM pds_tenant.backlink WHERE aid = @aid::bigint AND path IN (
  SELECT b.path FROM pds_tenant.backlink b WHERE b.aid = @aid::bigint ORDER BY b.path LIMIT @max_rows::int);

-- name: DeleteNodesSlice :execrows
DELETE FROM pds_tenant.mst_node WHERE aid = @aid::bigint AND (level, after) IN (
  SELECT n.level, n.after FROM pds_tenant.mst_node n WHERE n.aid = @aid::bigint ORDER BY n.level, n.after LIMIT @max_rows::int);

-- name: ListPurges :many
SELECT aid FROM pds_tenant.purge ORDER BY aid LIMIT @max_rows::int;

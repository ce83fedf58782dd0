-- name: GetNode :one
SELECT * FROM control.node WHERE node_id = $1;

-- name: ListNodes :many
SELECT * FROM control.node ORDER BY node_id LIMIT @max_rows::int;

-- How many tenants, and copies that are left behind, each node has.
-- name: ListNodeCounts :many
SELECT n.node_id,
  (SELECT count(*) FROM control.tenant t WHERE t.node_id = n.node_id)::bigint AS tenants,
  (SELECT count(*) FROM control.leftover l WHERE l.node_id = n.node_id)::bigint AS leftovers,
  (SELECT count(*) FROM control.tenant_move m WHERE m.source = n.node_id OR m.target = n.node_id)::bigint AS moves
FROM control.node n ORDER BY n.node_id LIMIT @max_rows::int;

-- The node that a new tenant goes to: the one with the fewest tenants, of those that the process can reach.
-- name: GetNodeForNewTenant :one
SELECT n.node_id FROM control.node n
LEFT JOIN control.tenant t ON t.node_id = n.node_id
WHERE n.accepts_new AND n.node_id = ANY(@known::int[])
GROUP BY n.node_id
ORDER BY count(t.tenant_id), n.node_id
LIMIT 1;

-- name: InsertNode :exec
INSERT INTO control.node (node_id, dsn_ref, accepts_new) VALUES ($1, $2, $3);

-- The next number is one that no node has had as long as those after it are there.
-- name: InsertNextNode :one
INSERT INTO control.node (node_id, dsn_ref, accepts_new, label, worker)
SELECT coalesce(max(n.node_id), 0) + 1, @dsn_ref::text, @accepts_new::boolean, @label::text, @worker::text FROM control.node n
RETURNING *;

-- name: UpdateNodeAcceptsNew :execrows
UPDATE control.node SET accepts_new = $2 WHERE node_id = $1;

-- A worker of a cluster that has another place in its catalogue now.
-- name: UpdateNodeWorker :execrows
UPDATE control.node SET worker = @now_at::text WHERE node_id = @node_id AND worker = @was_at::text;

-- name: DeleteNode :execrows
DELETE FROM control.node n WHERE n.node_id = $1 AND n.node_id <> 1
  AND NOT EXISTS (SELECT FROM control.tenant t WHERE t.node_id = n.node_id)
  AND NOT EXISTS (SELECT FROM control.leftover l WHERE l.node_id = n.node_id)
  AND NOT EXISTS (SELECT FROM control.spare p WHERE p.node_id = n.node_id)
  AND NOT EXISTS (SELECT FROM control.tenant_move m WHERE m.source = n.node_id OR m.target = n.node_id);

-- name: InsertTenantMove :execrows
INSERT INTO control.tenant_move (tenant_id, move_id, source, target, started_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id) DO NOTHING;

-- name: GetTenantMove :one
SELECT * FROM control.tenant_move WHERE tenant_id = $1;

-- name: GetTenantMoveOfSchema :one
SELECT m.* FROM control.tenant_move m JOIN control.tenant t ON t.tenant_id = m.tenant_id WHERE t.schema_name = $1;

-- name: DeleteTenantMove :execrows
DELETE FROM control.tenant_move WHERE tenant_id = $1 AND move_id = $2;

-- The tenant is where it was moved to. Once only: afterwards there is no such row.
-- name: UpdateTenantNode :execrows
UPDATE control.tenant SET node_id = @target, revision = @revision WHERE tenant_id = @tenant_id AND node_id = @source;

-- name: InsertLeftover :exec
INSERT INTO control.leftover (node_id, schema_name, tenant_id, drop_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (node_id, schema_name) DO UPDATE SET tenant_id = excluded.tenant_id, drop_at = excluded.drop_at;

-- name: ListLeftovers :many
SELECT * FROM control.leftover WHERE drop_at <= $1 ORDER BY drop_at, node_id, schema_name LIMIT @max_rows::int;

-- name: UpdateLeftoversDue :exec
-- The copies that a tenant has left behind go at the next look.
UPDATE control.leftover SET drop_at = @now::timestamptz WHERE tenant_id = @tenant_id AND drop_at > @now::timestamptz;

-- name: DeleteLeftover :execrows
DELETE FROM control.leftover WHERE node_id = $1 AND schema_name = $2;

-- name: CountLeftovers :one
SELECT count(*) FROM control.leftover;

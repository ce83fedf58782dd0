-- name: GetNode :one
SELECT * FROM control.node WHERE node_id = $1;

-- name: ListNodes :many
SELECT * FROM control.node ORDER BY node_id LIMIT @max_rows::int;

-- The node that a new tenant goes to: the one with the fewest tenants.
-- name: GetNodeForNewTenant :one
SELECT n.node_id FROM control.node n
LEFT JOIN control.tenant t ON t.node_id = n.node_id
WHERE n.accepts_new
GROUP BY n.node_id
ORDER BY count(t.tenant_id), n.node_id
LIMIT 1;

-- name: InsertNode :exec
INSERT INTO control.node (node_id, dsn_ref, accepts_new) VALUES ($1, $2, $3);

-- name: UpdateNodeAcceptsNew :execrows
UPDATE control.node SET accepts_new = $2 WHERE node_id = $1;

-- name: InsertHandlesElsewhere :exec
INSERT INTO control.handle_elsewhere (reversed, tenant_id) SELECT reverse(h), @tenant_id::bigint FROM unnest(@handles::text[]) AS h
ON CONFLICT DO NOTHING;

-- name: ListTenantsWithHandlesElsewhere :many
-- Who may have handles that are one of the names, or under one of the domains. '~' is behind every letter of a handle.
SELECT DISTINCT e.tenant_id FROM control.handle_elsewhere e WHERE e.reversed = ANY (SELECT reverse(n) FROM unnest(@names::text[]) AS n)
UNION
SELECT e.tenant_id FROM unnest(@domains::text[]) AS d
  CROSS JOIN LATERAL (SELECT DISTINCT i.tenant_id FROM control.handle_elsewhere i WHERE i.reversed >= reverse(d) || '.' AND i.reversed < reverse(d) || '.~') AS e
ORDER BY tenant_id;

-- name: InsertHandlesListed :exec
INSERT INTO control.handles_listed (tenant_id) VALUES (@tenant_id) ON CONFLICT DO NOTHING;

-- name: DeleteHandlesListed :exec
DELETE FROM control.handles_listed WHERE tenant_id = @tenant_id;

-- name: ListTenantsUnlisted :many
SELECT t.tenant_id FROM control.tenant t WHERE t.tenant_id > @after::bigint
  AND NOT EXISTS (SELECT FROM control.handles_listed l WHERE l.tenant_id = t.tenant_id) ORDER BY t.tenant_id LIMIT @max_rows::int;

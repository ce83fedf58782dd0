-- name: UpsertBacklinks :exec
-- Part of a grouped commit.
INSERT INTO pds_tenant.backlink (aid, path, link_to)
SELECT x.aid, x.path, x.link_to
FROM unnest(@aids::bigint[], @revs::bigint[], @paths::text[], @links::text[]) AS x(aid, rev, path, link_to)
JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
ON CONFLICT (aid, path) DO UPDATE SET link_to = excluded.link_to;

-- name: DeleteBacklinks :exec
-- Part of a grouped commit.
DELETE FROM pds_tenant.backlink b
USING unnest(@aids::bigint[], @revs::bigint[], @paths::text[]) AS x(aid, rev, path), pds_tenant.actor a
WHERE a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
  AND b.aid = x.aid AND b.path = x.path;

-- name: ListBacklinks :many
-- The records of one collection that point at a subject. @lo and @hi are "collection/" and "collection0".
SELECT path FROM pds_tenant.backlink
WHERE aid = @aid AND link_to = @link_to AND path > @lo::text AND path < @hi::text
ORDER BY path LIMIT @max_rows::int;

-- name: ListAllBacklinks :many
-- Pages in primary key order, for checks.
SELECT path, link_to FROM pds_tenant.backlink
WHERE aid = @aid AND path > @after::text ORDER BY path LIMIT @max_rows::int;

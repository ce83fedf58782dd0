-- Tree nodes by position: the level and the key a node hangs after ('' on the left edge). docs/storage.md tells why.

-- name: UpsertNodes :exec
-- Part of a grouped commit.
INSERT INTO pds_tenant.mst_node (aid, level, after, rev, cid, content)
SELECT x.aid, x.level, x.after, x.rev, x.cid, x.content
FROM unnest(@aids::bigint[], @revs::bigint[], @levels::smallint[], @afters::text[], @cids::bytea[], @contents::bytea[])
  AS x(aid, rev, level, after, cid, content)
JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
ON CONFLICT (aid, level, after) DO UPDATE SET rev = excluded.rev, cid = excluded.cid, content = excluded.content;

-- name: DeleteNodes :exec
-- Part of a grouped commit.
DELETE FROM pds_tenant.mst_node n
USING unnest(@aids::bigint[], @revs::bigint[], @levels::smallint[], @afters::text[]) AS x(aid, rev, level, after),
  pds_tenant.actor a
WHERE a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
  AND n.aid = x.aid AND n.level = x.level AND n.after = x.after;

-- name: ListPathNodes :many
-- Every node that a read, create, update or delete of a key, and the proof of it, can need: on each level the node that
-- covers the key and the node that hangs after it. A level without a node in the key's gap gives a wrong neighbour:
-- callers find their way by CID from the root and meet it never.
SELECT n.level, n.after, n.cid, n.content
FROM generate_series(0, (SELECT m.level::int FROM pds_tenant.mst_node m WHERE m.aid = @aid ORDER BY m.level DESC LIMIT 1)) AS l(level)
CROSS JOIN LATERAL (
  (SELECT p.level, p.after, p.cid, p.content FROM pds_tenant.mst_node p
   WHERE p.aid = @aid AND p.level = l.level AND p.after < @key::text ORDER BY p.after DESC LIMIT 1)
  UNION ALL
  SELECT q.level, q.after, q.cid, q.content FROM pds_tenant.mst_node q
  WHERE q.aid = @aid AND q.level = l.level AND q.after = @key::text
) n;

-- name: ListPathsNodes :many
-- ListPathNodes for many keys; positions are made distinct before their blocks are read.
WITH pos AS (
  SELECT DISTINCT l.level, p.after
  FROM generate_series(0, (SELECT m.level::int FROM pds_tenant.mst_node m WHERE m.aid = @aid ORDER BY m.level DESC LIMIT 1)) AS l(level)
  CROSS JOIN unnest(@keys::text[]) AS k(key)
  CROSS JOIN LATERAL (
    SELECT q.after FROM pds_tenant.mst_node q
    WHERE q.aid = @aid AND q.level = l.level AND q.after < k.key ORDER BY q.after DESC LIMIT 1
  ) p
  UNION
  SELECT l.level, k.key
  FROM generate_series(0, (SELECT m.level::int FROM pds_tenant.mst_node m WHERE m.aid = @aid ORDER BY m.level DESC LIMIT 1)) AS l(level)
  CROSS JOIN unnest(@keys::text[]) AS k(key)
)
SELECT n.level, n.after, n.cid, n.content
FROM pos JOIN pds_tenant.mst_node n ON n.aid = @aid AND n.level = pos.level AND n.after = pos.after;

-- name: ListNodesAt :many
-- The node at one position, if there is one.
SELECT cid, content FROM pds_tenant.mst_node WHERE aid = @aid AND level = @level AND after = @after LIMIT 1;

-- name: ListNodesByCID :many
-- Reads through all nodes of the repository: there is no index by CID. Equal nodes stand at one position only. Those
-- behind the one that makes it @max_bytes or more come without their content.
SELECT s.cid, (CASE WHEN s.before < @max_bytes::bigint THEN s.content END)::bytea AS content FROM (
  SELECT n.cid, n.content, sum(octet_length(n.content)) OVER (ORDER BY n.cid ROWS UNBOUNDED PRECEDING) - octet_length(n.content) AS before
  FROM (
    SELECT cid, content FROM pds_tenant.mst_node
    WHERE aid = @aid AND cid = ANY (@cids::bytea[]) LIMIT @max_rows::int
  ) n
) s;

-- name: ListNodes :many
-- All of a repository, only ever streamed: for checks.
SELECT level, after, rev, cid, content FROM pds_tenant.mst_node WHERE aid = @aid;

-- name: InsertNode :exec
INSERT INTO pds_tenant.mst_node (aid, level, after, rev, cid, content)
VALUES (@aid, @level, @after, @rev, @cid, @content);

-- name: ListRepoBlocks :many
-- A whole repository's nodes and records (level -1) by key, only ever streamed: it has no limit. Each branch reads one
-- index in order (OFFSET 0 keeps it a branch of its own), so the server merges and never sorts the whole. Rows of
-- equal key come in any order: the reader puts the record first, then the nodes by falling level, which is pre-order.
(SELECT r.path AS key, (-1)::smallint AS level, r.cid, r.value AS block FROM pds_tenant.record r
 WHERE r.aid = @aid AND r.rev > @since ORDER BY r.path OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 0 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 1 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 2 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 3 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 4 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 5 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 6 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 7 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 8 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 9 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 10 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 11 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 12 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 13 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 14 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level = 15 AND n.rev > @since ORDER BY n.after OFFSET 0)
UNION ALL
(SELECT n.after, n.level, n.cid, n.content FROM pds_tenant.mst_node n
 WHERE n.aid = @aid AND n.level > 15 AND n.rev > @since ORDER BY n.after OFFSET 0)
ORDER BY 1;

-- name: InsertCommitEvents :many
-- The last statement of a grouped commit: numbers and publishes the events of those that won the compare-and-set, and
-- tells who they are. stream_head stays locked until the transaction is visible, so the order of numbers is the order of
-- visibility, without holes.
WITH ok AS (
  SELECT x.aid, x.rev, x.at, x.seq_off, x.payload, row_number() OVER (ORDER BY x.n) AS k
  FROM unnest(@aids::bigint[], @revs::bigint[], @times::timestamptz[], @seq_offs::int[], @payloads::bytea[])
    WITH ORDINALITY AS x(aid, rev, at, seq_off, payload, n)
  JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
), h AS (
  UPDATE pds_tenant.stream_head s SET last_seq = s.last_seq + (SELECT count(*) FROM ok)
  WHERE s.id = 1 AND EXISTS (SELECT 1 FROM ok) RETURNING s.last_seq
)
INSERT INTO pds_tenant.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload)
SELECT h.last_seq - (SELECT count(*) FROM ok) + ok.k, ok.aid, 1, ok.at, ok.rev, ok.seq_off, ok.payload
FROM ok CROSS JOIN h
RETURNING seq, aid;

-- name: InsertEvents :exec
-- Events whose numbers are taken already (LockNextSeqs, the last lock of the transaction): @first and the following.
INSERT INTO pds_tenant.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload)
SELECT (x.n - 1) + sqlc.arg(first)::bigint, x.aid, x.kind, x.at, x.rev, x.seq_off, x.payload
FROM unnest(@aids::bigint[], @kinds::smallint[], @times::timestamptz[], @revs::bigint[], @seq_offs::int[], @payloads::bytea[])
  WITH ORDINALITY AS x(aid, kind, at, rev, seq_off, payload, n);

-- name: ListEvents :many
SELECT seq, aid, kind, sequenced_at, rev, seq_off, payload FROM pds_tenant.repo_event
WHERE seq > @after_seq ORDER BY seq LIMIT @max_rows::int;

-- name: ListEventsOf :many
SELECT seq, aid, kind, sequenced_at, rev, seq_off, payload FROM pds_tenant.repo_event
WHERE aid = @aid AND seq > @after_seq ORDER BY seq LIMIT @max_rows::int;

-- name: CountSeqHoles :one
-- How many numbers are missing between the oldest event kept and the last one given out: always 0, or events were lost.
SELECT (s.last_seq - coalesce((SELECT min(e.seq) FROM pds_tenant.repo_event e), s.last_seq + 1) + 1
  - (SELECT count(*) FROM pds_tenant.repo_event e))::bigint AS holes
FROM pds_tenant.stream_head s WHERE s.id = 1;

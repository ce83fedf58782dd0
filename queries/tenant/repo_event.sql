-- name: InsertCommitEvents :many
-- The last statement of a grouped commit: numbers and publishes the events of those that won the compare-and-set, and
-- tells who they are, and what the tenant's records take now. stream_head stays locked until the transaction is visible, so the order of numbers is the order of
-- visibility, without holes.
WITH ok AS (
  SELECT x.aid, x.rev, x.at, x.seq_off, x.payload, row_number() OVER (ORDER BY x.n) AS k,
    CASE WHEN a.record_count IS NULL THEN 0 ELSE a.commit_records END AS records,
    CASE WHEN a.record_count IS NULL THEN 0 ELSE a.commit_bytes END AS bytes
  FROM unnest(@aids::bigint[], @revs::bigint[], @times::timestamptz[], @seq_offs::int[], @payloads::bytea[])
    WITH ORDINALITY AS x(aid, rev, at, seq_off, payload, n)
  JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY (@commits::bytea[])
), n AS (
  SELECT count(*) AS n, max(ok.at) AS at, sum(ok.records) AS records, sum(ok.bytes) AS bytes FROM ok
), h AS (
  UPDATE pds_tenant.stream_head s SET
    next_aid = s.next_aid + CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN 0 ELSE 1000000 END,
    last_seq = s.last_seq + CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN 0 ELSE 1000000 END + n.n,
    jumped_from = CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
      OR s.jumped_to = s.last_seq AND NOT EXISTS (SELECT FROM pds_tenant.repo_event e WHERE e.seq = s.jumped_to) THEN s.jumped_from ELSE s.last_seq END,
    jumped_to = CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN s.jumped_to ELSE s.last_seq + 1000000 END,
    timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8),
    records = s.records + n.records, record_bytes = s.record_bytes + n.bytes,
    last_us = greatest(s.last_us + 200, (extract(epoch FROM n.at AT TIME ZONE 'UTC') * 1000000)::bigint) + 200 * (n.n - 1)
  FROM n WHERE s.id = 1 AND n.n > 0
  RETURNING s.last_seq, s.last_us, s.jumped_from, s.jumped_to, s.records, s.record_bytes, n.n, n.at
), j AS (
  -- The numbers passed over just before these: see stream_head.sql.
  INSERT INTO pds_tenant.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
  SELECT h.jumped_to, 0, 0, h.at, h.jumped_from, 0, '', h.last_us - 200 * h.n
  FROM h WHERE h.jumped_to = h.last_seq - h.n AND h.jumped_to > 0
  ON CONFLICT (seq) DO NOTHING
), e AS (
  INSERT INTO pds_tenant.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
  SELECT h.last_seq - h.n + ok.k, ok.aid, 1, ok.at, ok.rev, ok.seq_off, ok.payload, h.last_us - 200 * (h.n - ok.k)
  FROM ok CROSS JOIN h
  RETURNING seq, aid
)
SELECT e.seq, e.aid, h.records::bigint AS records, h.record_bytes::bigint AS record_bytes FROM e CROSS JOIN h;

-- name: InsertEvents :exec
-- Events whose numbers and times are taken already (LockNextSeqs, the last lock of the transaction): @first, @first_us
-- and the following.
INSERT INTO pds_tenant.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
SELECT (x.n - 1) + sqlc.arg(first)::bigint, x.aid, x.kind, x.at, x.rev, x.seq_off, x.payload, (x.n - 1) * 200 + sqlc.arg(first_us)::bigint
FROM unnest(@aids::bigint[], @kinds::smallint[], @times::timestamptz[], @revs::bigint[], @seq_offs::int[], @payloads::bytea[])
  WITH ORDINALITY AS x(aid, kind, at, rev, seq_off, payload, n);

-- name: ListEvents :many
-- Up to max_rows events, and no more than fit in max_bytes: the first always does.
SELECT x.seq, x.aid, x.kind, x.sequenced_at, x.rev, x.seq_off, x.payload, x.time_us FROM (
  SELECT e.seq, e.aid, e.kind, e.sequenced_at, e.rev, e.seq_off, e.payload, e.time_us,
    sum(octet_length(e.payload)) OVER (ORDER BY e.seq) - octet_length(e.payload) AS before
  FROM (
    SELECT seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us FROM pds_tenant.repo_event
    WHERE seq > @after_seq ORDER BY seq LIMIT @max_rows::int
  ) e
) x WHERE x.before < @max_bytes::bigint ORDER BY x.seq;

-- name: ListEventsOf :many
SELECT seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us FROM pds_tenant.repo_event
WHERE aid = @aid AND seq > @after_seq AND kind > 0 ORDER BY seq LIMIT @max_rows::int;

-- name: ListNewestEventsOf :many
-- An account's commits and syncs, the newest first: of the last max_rows those behind a revision, and no more than fit in
-- max_bytes.
SELECT x.seq, x.aid, x.kind, x.sequenced_at, x.rev, x.seq_off, x.payload, x.time_us FROM (
  SELECT e.seq, e.aid, e.kind, e.sequenced_at, e.rev, e.seq_off, e.payload, e.time_us,
    sum(octet_length(e.payload)) OVER (ORDER BY e.seq DESC) AS bytes
  FROM (
    SELECT seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us FROM pds_tenant.repo_event
    WHERE aid = @aid AND kind IN (1, 2) ORDER BY seq DESC LIMIT @max_rows::int
  ) e WHERE e.rev > @rev::bigint
) x WHERE x.bytes <= @max_bytes::bigint ORDER BY x.seq DESC;

-- name: GetEventAfter :one
-- The place and time of the first event behind after_seq.
SELECT seq, kind, rev, time_us FROM pds_tenant.repo_event WHERE seq > @after_seq ORDER BY seq LIMIT 1;

-- name: CountEventsAfter :one
-- How many events are kept behind after_seq, counted up to max_rows. Numbers that were passed over are no events.
SELECT count(*) FROM (SELECT 1 FROM pds_tenant.repo_event WHERE seq > @after_seq ORDER BY seq LIMIT @max_rows::int) x;

-- name: DeleteEventsUpTo :execrows
DELETE FROM pds_tenant.repo_event WHERE seq <= @seq;

-- name: UpdateEventsToNothing :execrows
-- Empties events of one account, all but the last. Their numbers stay, as nobody's: see the migration on kind 0.
UPDATE pds_tenant.repo_event SET kind = 0, aid = 0, rev = seq - 1, seq_off = 0, payload = ''
WHERE seq IN (
  SELECT e.seq FROM pds_tenant.repo_event e
  WHERE e.aid = @aid AND e.seq < (SELECT max(l.seq) FROM pds_tenant.repo_event l WHERE l.aid = @aid)
  ORDER BY e.seq LIMIT @max_rows::int
);

-- name: InsertJump :exec
-- One row that stands for all numbers from first to seq.
INSERT INTO pds_tenant.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
VALUES (@seq, 0, 0, @at, sqlc.arg(first)::bigint - 1, 0, '', @time_us);

-- name: CountSeqHoles :one
-- How many numbers are missing between the oldest event kept and the last one given out: always 0, or events were lost.
SELECT (s.last_seq - coalesce((SELECT CASE WHEN e.kind = 0 THEN e.rev ELSE e.seq - 1 END FROM pds_tenant.repo_event e ORDER BY e.seq LIMIT 1), s.last_seq)
  - (SELECT coalesce(sum(CASE WHEN e.kind = 0 THEN e.seq - e.rev ELSE 1 END), 0) FROM pds_tenant.repo_event e))::bigint AS holes
FROM pds_tenant.stream_head s WHERE s.id = 1;

-- name: ListEventActors :many
-- Whose events are behind after_seq, up to up_to.
SELECT DISTINCT aid FROM pds_tenant.repo_event
WHERE seq > @after_seq AND seq <= sqlc.arg(up_to)::bigint AND kind > 0 ORDER BY aid LIMIT @max_rows::int;

-- name: GetSyncedAfter :one
-- Whether a #sync of an account is behind a number.
SELECT EXISTS (SELECT 1 FROM pds_tenant.repo_event WHERE aid = @aid AND seq > @after_seq AND kind = 2)::boolean AS synced;

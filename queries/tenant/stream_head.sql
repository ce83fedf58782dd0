-- name: GetStreamHead :one
SELECT last_seq, next_aid FROM pds_tenant.stream_head WHERE id = 1;

-- name: GetLastSeq :one
SELECT last_seq FROM pds_tenant.stream_head WHERE id = 1;

-- A schema that was made ahead begins where its tenant does: nothing was given out from it, so nothing can be missing.
-- name: UpdateStreamBegins :exec
UPDATE pds_tenant.stream_head SET timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) WHERE id = 1 AND last_seq = 0 AND next_aid = 1;

-- The timeline is the server's: it changes when a standby is promoted, and numbers and account keys that were given out
-- may be missing then. Every statement that takes some passes over 1,000,000 of both first (JumpBy in internal/firehose),
-- and the next event's statement inserts the row that stands for them. A jump behind one that has no row yet goes on from
-- where that one began: one row stands for both.

-- Takes an account key. The row stays locked until the transaction ends: keep what follows short.
-- name: LockNextAID :one
UPDATE pds_tenant.stream_head s SET
  next_aid = s.next_aid + 1 + CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN 0 ELSE 1000000 END,
  last_seq = s.last_seq + CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN 0 ELSE 1000000 END,
  jumped_from = CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
      OR s.jumped_to = s.last_seq AND NOT EXISTS (SELECT FROM pds_tenant.repo_event e WHERE e.seq = s.jumped_to) THEN s.jumped_from ELSE s.last_seq END,
  jumped_to = CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN s.jumped_to ELSE s.last_seq + 1000000 END,
  timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
WHERE s.id = 1 RETURNING (s.next_aid - 1)::bigint AS aid;

-- Takes the next n sequence numbers and as many times in microseconds, 200 apart: the answer is the last of them. Because
-- the row stays locked until the transaction is visible, the order of numbers is the order of visibility, without holes.
-- The times rise also when the clock of whoever asks has gone back.
-- name: LockNextSeqs :one
WITH h AS (
  UPDATE pds_tenant.stream_head s SET
    next_aid = s.next_aid + CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN 0 ELSE 1000000 END,
    last_seq = s.last_seq + CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN 0 ELSE 1000000 END + sqlc.arg(n)::bigint,
    jumped_from = CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
      OR s.jumped_to = s.last_seq AND NOT EXISTS (SELECT FROM pds_tenant.repo_event e WHERE e.seq = s.jumped_to) THEN s.jumped_from ELSE s.last_seq END,
    jumped_to = CASE WHEN s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) THEN s.jumped_to ELSE s.last_seq + 1000000 END,
    timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8),
    last_us = greatest(s.last_us + 200, sqlc.arg(now_us)::bigint) + 200 * (sqlc.arg(n)::bigint - 1)
  WHERE s.id = 1 RETURNING s.last_seq, s.last_us, s.jumped_from, s.jumped_to
), j AS (
  INSERT INTO pds_tenant.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
  SELECT h.jumped_to, 0, 0, to_timestamp(sqlc.arg(now_us)::bigint / 1000000.0), h.jumped_from, 0, '', h.last_us - 200 * sqlc.arg(n)::bigint
  FROM h WHERE h.jumped_to = h.last_seq - sqlc.arg(n)::bigint AND h.jumped_to > 0
  ON CONFLICT (seq) DO NOTHING
)
SELECT h.last_seq, h.last_us FROM h;

-- name: LockStream :one
SELECT last_seq, jumped_from, jumped_to, (timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8))::boolean AS promoted
FROM pds_tenant.stream_head WHERE id = 1 FOR UPDATE;

-- Passes over the next numbers, at least until it is @by behind @seen, and over as many account keys.
-- name: UpdateStreamJumped :one
UPDATE pds_tenant.stream_head s SET
  next_aid = s.next_aid + sqlc.arg(by)::bigint,
  last_seq = greatest(s.last_seq, sqlc.arg(seen)::bigint) + sqlc.arg(by)::bigint,
  jumped_from = CASE WHEN s.jumped_to = s.last_seq AND NOT EXISTS (SELECT FROM pds_tenant.repo_event e WHERE e.seq = s.jumped_to) THEN s.jumped_from ELSE s.last_seq END,
  jumped_to = greatest(s.last_seq, sqlc.arg(seen)::bigint) + sqlc.arg(by)::bigint,
  timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8),
  last_us = greatest(s.last_us + 200, sqlc.arg(now_us)::bigint)
WHERE s.id = 1 RETURNING s.jumped_from, s.jumped_to, s.last_us, s.timeline;

-- Where the stream is, which history it is of, and what it has at number @seen: the event of this number, or the first
-- behind it. at_seq is 0 if there is none.
-- name: GetStreamState :one
SELECT s.last_seq, s.jumped_from, s.jumped_to, s.timeline,
  (s.timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8))::boolean AS promoted,
  coalesce(e.seq, 0)::bigint AS at_seq, coalesce(e.kind, 0)::smallint AS at_kind, coalesce(e.aid, 0)::bigint AS at_aid,
  coalesce(e.rev, 0)::bigint AS at_rev, coalesce(e.time_us, 0)::bigint AS at_us, coalesce(e.size, 0)::int AS at_size
FROM pds_tenant.stream_head s LEFT JOIN LATERAL (
  SELECT r.seq, r.kind, r.aid, r.rev, r.time_us, octet_length(r.payload) AS size
  FROM pds_tenant.repo_event r WHERE r.seq >= sqlc.arg(seen)::bigint ORDER BY r.seq LIMIT 1
) e ON true
WHERE s.id = 1;

-- Commits something behind everything that was committed before, so that its answer means that the standbys which commits
-- wait for have it all. No table is written.
-- name: InsertWALMark :one
SELECT pg_logical_emit_message(true, 'locus', '')::text AS place FROM pds_tenant.stream_head WHERE id = 1;

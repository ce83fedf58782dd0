-- name: GetStreamHead :one
SELECT last_seq, next_aid FROM pds_tenant.stream_head WHERE id = 1;

-- name: GetLastSeq :one
SELECT last_seq FROM pds_tenant.stream_head WHERE id = 1;

-- Takes an account key. The row stays locked until the transaction ends: keep what follows short.
-- name: LockNextAID :one
UPDATE pds_tenant.stream_head SET next_aid = next_aid + 1 WHERE id = 1 RETURNING (next_aid - 1)::bigint AS aid;

-- Takes the next n sequence numbers and as many times in microseconds, 200 apart: the answer is the last of them. Because
-- the row stays locked until the transaction is visible, the order of numbers is the order of visibility, without holes.
-- The times rise also when the clock of whoever asks has gone back.
-- name: LockNextSeqs :one
UPDATE pds_tenant.stream_head
SET last_seq = last_seq + sqlc.arg(n)::bigint, last_us = greatest(last_us + 200, sqlc.arg(now_us)::bigint) + 200 * (sqlc.arg(n)::bigint - 1)
WHERE id = 1 RETURNING last_seq, last_us;

-- Commits something behind everything that was committed before, so that its answer means that the standbys which commits
-- wait for have it all. No table is written.
-- name: InsertWALMark :one
SELECT pg_logical_emit_message(true, 'locus', '')::text AS place FROM pds_tenant.stream_head WHERE id = 1;

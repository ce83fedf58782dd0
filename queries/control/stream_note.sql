-- name: UpsertStreamNote :execrows
-- Tells others of new events; nothing where nobody else serves.
INSERT INTO control.stream_note (process_id, slot, n, schemas, seqs, noted_at)
SELECT @process_id::bigint, @slot::int, @n::bigint, @schemas::text[], @seqs::bigint[], @now::timestamptz
WHERE EXISTS (SELECT FROM control.process p WHERE p.process_id <> @process_id::bigint AND p.seen_at > @alive_since::timestamptz)
ON CONFLICT (process_id, slot) DO UPDATE SET n = excluded.n, schemas = excluded.schemas, seqs = excluded.seqs, noted_at = excluded.noted_at;

-- name: ListStreamNotes :many
-- What others have told since @known of each of @processes. There is always a row: it names the server, which is another one
-- when it was started anew or a standby was promoted.
SELECT (left(pg_walfile_name(pg_current_wal_lsn()), 8) || ' ' || extract(epoch FROM pg_postmaster_start_time()))::text AS server,
  coalesce(n.process_id, 0)::bigint AS process_id, coalesce(n.n, 0)::bigint AS n,
  coalesce(n.schemas, '{}')::text[] AS schemas, coalesce(n.seqs, '{}')::bigint[] AS seqs,
  coalesce(n.noted_at, 'epoch')::timestamptz AS noted_at
FROM (SELECT 1) one LEFT JOIN control.stream_note n ON n.process_id <> @self::bigint
  AND NOT EXISTS (SELECT FROM unnest(@processes::bigint[], @known::bigint[]) AS k(process_id, n) WHERE k.process_id = n.process_id AND k.n >= n.n)
ORDER BY 2, 3 LIMIT @max_rows::int;

-- name: DeleteStreamNotesBefore :execrows
DELETE FROM control.stream_note WHERE noted_at < @before;

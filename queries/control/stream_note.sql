-- name: InsertStreamNote :exec
INSERT INTO control.stream_note (process_id, number, schemas, seqs, noted_at) VALUES (@process_id, @number, @schemas, @seqs, @noted_at);

-- name: ListStreamNotes :many
-- What was said behind what is known: @numbers[i] is the last one of @processes[i]; of others everything.
SELECT n.process_id, n.number, n.schemas, n.seqs FROM control.stream_note n
LEFT JOIN unnest(@processes::bigint[], @numbers::bigint[]) AS k(process_id, number) ON k.process_id = n.process_id
WHERE n.process_id <> @own::bigint AND n.number > coalesce(k.number, 0)
ORDER BY n.process_id, n.number LIMIT @max_rows::int;

-- name: DeleteStreamNotes :exec
DELETE FROM control.stream_note WHERE noted_at <= @before;

-- name: UpsertProcess :exec
INSERT INTO control.process (process_id, address, version, control_version, tenant_version, started_at, seen_at)
VALUES (@process_id, @address, @version, @control_version, @tenant_version, @started_at, @seen_at)
ON CONFLICT (process_id) DO UPDATE SET seen_at = excluded.seen_at;

-- name: ListProcesses :many
-- Those that were seen since.
SELECT * FROM control.process WHERE seen_at > @since ORDER BY started_at, process_id LIMIT @max_rows::int;

-- name: DeleteProcess :exec
DELETE FROM control.process WHERE process_id = @process_id;

-- name: DeleteProcessesBefore :execrows
-- Those that ended without a word.
DELETE FROM control.process WHERE seen_at <= @before;

-- name: UpsertProcess :one
-- A beat. Answers with the newest revision of the master keys, by which the process sees that it has to read them.
INSERT INTO control.process (process_id, address, version, control_version, tenant_version, started_at, seen_at, keys, key_revision, refused_people, refused_operators)
VALUES (@process_id, @address, @version, @control_version, @tenant_version, @started_at, @seen_at, @keys::text[], @key_revision, @refused_people, @refused_operators)
ON CONFLICT (process_id) DO UPDATE SET seen_at = excluded.seen_at, keys = excluded.keys, key_revision = excluded.key_revision,
  refused_people = excluded.refused_people, refused_operators = excluded.refused_operators
RETURNING (SELECT coalesce(max(m.revision), -1) FROM control.master_key m)::bigint AS newest;

-- name: ListProcesses :many
-- Those that were seen since.
SELECT * FROM control.process WHERE seen_at > @since ORDER BY started_at, process_id LIMIT @max_rows::int;

-- name: DeleteProcess :exec
DELETE FROM control.process WHERE process_id = @process_id;

-- name: DeleteProcessesBefore :execrows
-- Those that ended without a word.
DELETE FROM control.process WHERE seen_at <= @before;

-- name: GetDoctor :one
SELECT * FROM control.doctor WHERE id = 1;

-- What the numbers of a process show, without the results.
-- name: GetDoctorCounts :one
SELECT due_at, ended_at, errors, warnings FROM control.doctor WHERE id = 1;

-- The first process writes when the doctor looks first; the others find it.
-- name: InsertDoctor :execrows
INSERT INTO control.doctor (id, due_at, held_until) VALUES (1, @due_at, @held_until) ON CONFLICT (id) DO NOTHING;

-- Takes the turn. No row: it is not due, or another process has it.
-- name: UpdateDoctorClaim :one
UPDATE control.doctor SET held_until = @held_until, began_at = @now::timestamptz
WHERE id = 1 AND due_at <= @now::timestamptz AND held_until <= @now::timestamptz
RETURNING told;

-- Has the doctor look now.
-- name: UpdateDoctorDue :execrows
UPDATE control.doctor SET due_at = least(due_at, @due_at) WHERE id = 1;

-- What was found. No row: the turn was lost, as it took too long.
-- name: UpdateDoctorResult :execrows
UPDATE control.doctor SET due_at = @due_at, held_until = @ended_at, ended_at = @ended_at, looked_by = @looked_by, checks = @checks,
  errors = @errors, warnings = @warnings, results = @results
WHERE id = 1 AND held_until = @held_until;

-- name: UpdateDoctorTold :execrows
UPDATE control.doctor SET told = @told, told_at = @told_at, tell_error = '' WHERE id = 1;

-- name: UpdateDoctorTellError :execrows
UPDATE control.doctor SET tell_error = @tell_error, due_at = least(due_at, @due_at) WHERE id = 1;

-- name: UpsertDoctorNode :exec
INSERT INTO control.doctor_node (process_id, address, looked_at, facts, results) VALUES (@process_id, @address, @looked_at, @facts, @results)
ON CONFLICT (process_id) DO UPDATE SET looked_at = excluded.looked_at, facts = excluded.facts, results = excluded.results;

-- name: ListDoctorNodes :many
SELECT * FROM control.doctor_node WHERE looked_at > @since ORDER BY address, process_id LIMIT @max_rows::int;

-- name: DeleteDoctorNode :exec
DELETE FROM control.doctor_node WHERE process_id = @process_id;

-- name: DeleteDoctorNodesBefore :execrows
DELETE FROM control.doctor_node WHERE looked_at <= @before;

-- Gives the turn back.
-- name: UpdateDoctorGivenUp :exec
UPDATE control.doctor SET due_at = @due_at, held_until = @due_at WHERE id = 1 AND held_until = @held_until;

-- Processes that serve without a master key that something is sealed under. Those of an older version say nothing of keys.
-- name: ListProcessesWithoutKey :many
SELECT p.address, m.key_id, m.fingerprint FROM control.process p JOIN control.master_key m ON NOT m.fingerprint = ANY (p.keys)
WHERE p.seen_at > @since AND p.keys IS NOT NULL AND m.state IN (2, 3)
ORDER BY p.address, m.key_id LIMIT @max_rows::int;

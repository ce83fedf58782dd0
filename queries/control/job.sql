-- name: InsertJob :one
INSERT INTO control.job (job_id, kind, tenant_id, alone, local, state, args, attempts, key, created_by, created_at, started_at, due_at)
VALUES (@job_id, @kind, @tenant_id, @alone, @local, @state, @args, @attempts, sqlc.narg('key'), @created_by, @created_at, sqlc.narg('started_at'), @due_at)
RETURNING *;

-- name: GetJob :one
SELECT * FROM control.job WHERE job_id = $1;

-- name: GetJobByKey :one
SELECT * FROM control.job WHERE kind = @kind AND key = @key::text;

-- name: GetJobAlone :one
SELECT * FROM control.job WHERE tenant_id = $1 AND alone AND state < 2;

-- The newest first.
-- name: ListJobs :many
SELECT * FROM control.job WHERE job_id < @before AND (NOT @open::boolean OR state < 2)
ORDER BY job_id DESC LIMIT @max_rows::int;

-- name: ListJobsOfTenant :many
SELECT * FROM control.job WHERE tenant_id = @tenant_id AND job_id < @before AND (NOT @open::boolean OR state < 2)
ORDER BY job_id DESC LIMIT @max_rows::int;

-- The next job that waits, or whose process died.
-- name: LockDueJob :one
UPDATE control.job SET state = 1, attempts = attempts + 1, started_at = coalesce(started_at, @now::timestamptz), due_at = @claimed_until
WHERE job_id = (
  SELECT j.job_id FROM control.job j
  WHERE j.state < 2 AND NOT j.local AND j.due_at <= @now::timestamptz AND j.kind = ANY(@kinds::text[])
  ORDER BY j.due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- Says whether somebody wants the job to end. No row: the claim is lost.
-- name: UpdateJobClaim :one
UPDATE control.job SET due_at = @claimed_until, step = @step, done = @done, total = @total
WHERE job_id = @job_id AND attempts = @attempts AND state = 1
RETURNING cancel;

-- name: UpdateJobSaved :execrows
UPDATE control.job SET saved = @saved WHERE job_id = @job_id AND attempts = @attempts AND state = 1;

-- What became of it, or that it waits to go on. A key that it was given for its work goes when it has ended.
-- name: UpdateJobOutcome :execrows
UPDATE control.job SET args = CASE WHEN @state::smallint >= 2 AND jsonb_typeof(args) = 'object' THEN args - 'sealedIdentity'::text ELSE args END, state = @state::smallint, step = @step, done = @done, total = @total, result = @result, error = @error, ended_at = sqlc.narg('ended_at'), due_at = @due_at
WHERE job_id = @job_id AND attempts = @attempts AND state = 1;

-- One that waits ends at once; one that runs is told.
-- name: UpdateJobCancel :one
UPDATE control.job SET cancel = true, args = CASE WHEN state = 0 AND attempts = 0 AND jsonb_typeof(args) = 'object' THEN args - 'sealedIdentity'::text ELSE args END,
  state = CASE WHEN state = 0 AND attempts = 0 THEN 4 ELSE state END,
  ended_at = CASE WHEN state = 0 AND attempts = 0 THEN @now::timestamptz END,
  due_at = CASE WHEN state = 0 THEN @now::timestamptz ELSE due_at END
WHERE job_id = @job_id AND state < 2
RETURNING *;

-- Work that only its own process could do, which ended.
-- name: UpdateJobsLost :execrows
UPDATE control.job SET state = 3, ended_at = @now::timestamptz, error = 'the process that did it ended'
WHERE local AND state = 1 AND due_at <= @now::timestamptz;

-- name: DeleteJobsEnded :execrows
DELETE FROM control.job WHERE job_id IN (
  SELECT j.job_id FROM control.job j WHERE j.state >= 2 AND j.ended_at < @before ORDER BY j.ended_at LIMIT @max_rows::int);

-- Work of these kinds that began before a moment and has not ended.
-- name: CountJobsSince :one
SELECT count(*) FROM control.job WHERE state = 1 AND kind = ANY(@kinds::text[]) AND started_at < @before::timestamptz;

-- name: UpsertDue :many
-- Promises that somebody looks at these tenants then. What is there already is only made earlier, and it is never looked
-- at before its floor. Tenants that are gone are left out. Rows come sorted, so that processes cannot deadlock.
INSERT INTO control.due AS d (tenant_id, kind, due_at, last_at, floor_at, held_until)
SELECT t.tenant_id, x.kind, x.due_at, x.due_at, '-infinity', '-infinity'
FROM unnest(@schemas::text[], @kinds::text[], @dues::timestamptz[]) AS x(schema_name, kind, due_at)
JOIN control.tenant t ON t.schema_name = x.schema_name
ORDER BY t.tenant_id, x.kind
ON CONFLICT (tenant_id, kind) DO UPDATE SET due_at = least(d.due_at, greatest(excluded.due_at, d.floor_at)),
  last_at = greatest(d.last_at, excluded.due_at, d.floor_at)
RETURNING (SELECT t.schema_name FROM control.tenant t WHERE t.tenant_id = d.tenant_id)::text AS schema_name, d.kind, d.due_at;

-- name: InsertDueMissing :execrows
-- A first row for each tenant that has none of this kind, spread over a time.
INSERT INTO control.due (tenant_id, kind, due_at, last_at, floor_at, held_until)
SELECT t.tenant_id, sqlc.arg(kind)::text, x.due_at, x.due_at, '-infinity', '-infinity'
FROM control.tenant t, LATERAL (SELECT sqlc.arg(now)::timestamptz + make_interval(secs => mod(t.tenant_id * 7919, sqlc.arg(spread)::bigint)::float8) AS due_at) x
WHERE NOT EXISTS (SELECT FROM control.due d WHERE d.tenant_id = t.tenant_id AND d.kind = sqlc.arg(kind)::text)
ON CONFLICT (tenant_id, kind) DO NOTHING;

-- name: LockDue :many
-- Takes what is due of a kind. Others pass over it until @until.
UPDATE control.due d SET due_at = @until, held_until = @until
FROM (
  SELECT x.tenant_id, x.kind, x.due_at FROM control.due x
  WHERE x.due_at <= @now::timestamptz AND x.held_until <= @now::timestamptz AND x.kind = @kind::text
  ORDER BY x.due_at LIMIT @max_rows::int FOR UPDATE SKIP LOCKED
) f
WHERE d.tenant_id = f.tenant_id AND d.kind = f.kind
RETURNING d.tenant_id, (SELECT t.schema_name FROM control.tenant t WHERE t.tenant_id = d.tenant_id)::text AS schema_name, d.failures;

-- name: ListDueKinds :many
-- Of which of these kinds there is something due.
SELECT k.kind::text FROM unnest(@kinds::text[]) AS k(kind)
WHERE EXISTS (SELECT FROM control.due d WHERE d.kind = k.kind AND d.due_at <= @now::timestamptz AND d.held_until <= @now::timestamptz)
LIMIT @max_rows::int;

-- name: UpdateDueHeld :execrows
-- More time for what was taken.
UPDATE control.due SET held_until = @until, due_at = CASE WHEN due_at = held_until THEN @until ELSE due_at END
WHERE tenant_id = @tenant_id AND kind = @kind AND held_until = @held;

-- name: UpdateDueDone :one
-- Gives back what was taken: next at @next_at (null: nothing is known), at a date that was promised for later, or at one
-- that was promised meanwhile, whichever comes first; not before @floor_at. Answers with the date, or the epoch.
UPDATE control.due d SET
  due_at = greatest(@floor_at::timestamptz, least(sqlc.narg(next_at)::timestamptz, 'infinity',
    CASE WHEN d.due_at < d.held_until THEN d.due_at END, CASE WHEN d.last_at > @taken_at::timestamptz THEN d.last_at END)),
  last_at = greatest(d.last_at, sqlc.narg(next_at)::timestamptz),
  floor_at = @floor_at::timestamptz, held_until = '-infinity', failures = @failures
WHERE tenant_id = @tenant_id AND kind = @kind AND held_until = @held
RETURNING coalesce(nullif(d.due_at, 'infinity'), 'epoch')::timestamptz AS due_at;

-- name: ListDueStates :many
-- How the kinds stand: what is late, what failed when it was tried last, and what is being done.
SELECT kind,
  count(*) FILTER (WHERE due_at <= @late::timestamptz AND held_until <= @now::timestamptz) AS late,
  count(*) FILTER (WHERE failures > 0) AS failing,
  count(*) FILTER (WHERE held_until > @now::timestamptz) AS held
FROM control.due GROUP BY kind ORDER BY kind LIMIT @max_rows::int;

-- name: CountTenantsWritten :one
-- For how many tenants a look is promised: they were written to within an hour, about.
SELECT count(*) FROM control.due WHERE kind = 'look' AND due_at > @now::timestamptz AND due_at < 'infinity';

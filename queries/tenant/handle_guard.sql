-- The item of kind 2: names, one a line. No name has a line break.

-- name: LockHandleGuard :one
-- The names under which nobody here gets a handle. They stay as they are until the transaction ends that sets one.
SELECT string_to_array(value, E'\n')::text[] AS lost FROM pds_tenant.tenant_item WHERE kind = 2 AND key = '' FOR SHARE;

-- name: UpdateHandleGuardLost :exec
-- Waits for those who are setting a handle: what is looked at afterwards is all there will be under these names.
UPDATE pds_tenant.tenant_item g SET value = (
  SELECT coalesce(string_agg(DISTINCT n, E'\n'), '') FROM unnest(string_to_array(g.value, E'\n') || @names::text[]) AS n)
WHERE g.kind = 2 AND g.key = '';

-- name: UpdateHandleGuardFreed :exec
UPDATE pds_tenant.tenant_item g SET value = (
  SELECT coalesce(string_agg(n, E'\n'), '') FROM unnest(string_to_array(g.value, E'\n')) AS n WHERE NOT n = ANY (@names::text[]))
WHERE g.kind = 2 AND g.key = '' AND string_to_array(g.value, E'\n') && @names::text[];

-- name: CountHandlesUnder :one
-- Handles that are one of the names, or under one of the domains; unfinished sign-ups count, the names are promised to them.
-- It reads all accounts.
SELECT count(*)::bigint FROM pds_tenant.actor a WHERE a.handle IS NOT NULL AND (a.handle = ANY (@names::text[])
  OR EXISTS (SELECT 1 FROM unnest(@domains::text[]) AS d WHERE right(a.handle, length(d) + 1) = '.' || d));

-- name: ListHandlesElsewhere :many
-- Handles that are under none of the domains.
SELECT a.aid, a.handle::text AS handle FROM pds_tenant.actor a WHERE a.aid > @after::bigint AND a.handle IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM unnest(@domains::text[]) AS d WHERE right(a.handle, length(d) + 1) = '.' || d)
ORDER BY a.aid LIMIT @max_rows::int;

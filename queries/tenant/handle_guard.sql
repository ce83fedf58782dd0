-- name: LockHandleGuard :one
-- The names under which nobody here gets a handle. They stay as they are until the transaction ends that sets one.
SELECT lost FROM pds_tenant.handle_guard WHERE id = 1 FOR SHARE;

-- name: UpdateHandleGuardLost :exec
-- Waits for those who are setting a handle: what is looked at afterwards is all there will be under these names.
UPDATE pds_tenant.handle_guard g SET lost = (
  SELECT coalesce(array_agg(DISTINCT n), '{}') FROM unnest(g.lost || @names::text[]) AS n) WHERE g.id = 1;

-- name: UpdateHandleGuardFreed :exec
UPDATE pds_tenant.handle_guard g SET lost = (
  SELECT coalesce(array_agg(n), '{}') FROM unnest(g.lost) AS n WHERE NOT n = ANY (@names::text[])) WHERE g.id = 1 AND g.lost && @names::text[];

-- name: CountHandlesUnder :one
-- Handles that are one of the names, or under one of the domains; unfinished sign-ups count, the names are promised to them.
-- It reads all accounts.
SELECT count(*)::bigint FROM pds_tenant.actor a WHERE a.handle IS NOT NULL AND (a.handle = ANY (@names::text[])
  OR EXISTS (SELECT 1 FROM unnest(@domains::text[]) AS d WHERE right(a.handle, length(d) + 1) = '.' || d));

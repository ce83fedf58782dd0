-- While a backup reads files, none of them is deleted. The hold ends by itself, when the backup does not say that it goes on.

-- name: UpsertFilesHeld :exec
INSERT INTO pds_tenant.chore AS c (name, next_at) VALUES ('files held', @until::timestamptz)
ON CONFLICT (name) DO UPDATE SET next_at = greatest(c.next_at, excluded.next_at);

-- name: GetFilesHeld :one
SELECT EXISTS (SELECT FROM pds_tenant.chore c WHERE c.name = 'files held' AND c.next_at > @now::timestamptz)::boolean AS held;

-- name: DeleteFilesHeld :exec
DELETE FROM pds_tenant.chore WHERE name = 'files held' AND next_at = @until::timestamptz;

-- name: ListActorStates :many
-- What the world knows of accounts: for telling which of two states of a tenant differ.
SELECT aid, did, coalesce(handle, '')::text AS handle, (deactivated_at IS NOT NULL)::boolean AS deactivated, (takedown_ref IS NOT NULL)::boolean AS takendown,
  (creating_since IS NOT NULL OR unannounced)::boolean AS unheard, head_rev, coalesce(head_cid, '')::bytea AS head_cid
FROM pds_tenant.actor WHERE aid > @after::bigint ORDER BY aid LIMIT @max_rows::int;

-- name: UpdateHandlesMoved :execrows
-- Handles under a domain go under another one.
UPDATE pds_tenant.actor a SET handle = left(a.handle, -length(@was::text)) || @becomes::text
WHERE a.handle LIKE '%.' || @was::text
  AND NOT EXISTS (SELECT FROM pds_tenant.actor o WHERE o.handle = left(a.handle, -length(@was::text)) || @becomes::text);

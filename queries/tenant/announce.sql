-- name: ListActorsAnnounced :many
-- Accounts that the network knows, for events about all of them.
SELECT aid, did, handle, deactivated_at, takedown_ref, head_cid, head_rev, head_commit FROM pds_tenant.actor
WHERE aid > @after::bigint AND creating_since IS NULL AND NOT unannounced AND head_cid IS NOT NULL
ORDER BY aid LIMIT @max_rows::int;

-- name: LockActorAnnounced :one
-- The same of one account, whose commits wait until the transaction ends.
SELECT aid, did, handle, deactivated_at, takedown_ref, head_cid, head_rev, head_commit FROM pds_tenant.actor
WHERE aid = @aid AND creating_since IS NULL AND NOT unannounced AND head_cid IS NOT NULL FOR UPDATE;

-- name: CountActorsAnnounced :one
SELECT count(*) FROM pds_tenant.actor WHERE creating_since IS NULL AND NOT unannounced AND head_cid IS NOT NULL;

-- Changes of an account's state. Each takes the actor's row first: commits that are on their way in other processes
-- end before it, later ones see it.

-- name: UpdateActorDeactivated :one
-- One that moved here and was never activated keeps its date, if no other is given.
UPDATE pds_tenant.actor SET deactivated_at = coalesce(deactivated_at, @now::timestamptz),
  delete_after = CASE WHEN unannounced THEN coalesce(sqlc.narg(delete_after)::timestamptz, delete_after) ELSE sqlc.narg(delete_after)::timestamptz END
WHERE aid = @aid AND creating_since IS NULL
RETURNING did, takedown_ref, unannounced;

-- name: UpdateActorActivated :one
-- Not for accounts that are taken down. Announces those that moved here.
UPDATE pds_tenant.actor SET deactivated_at = NULL, delete_after = NULL, unannounced = false
WHERE aid = @aid AND creating_since IS NULL AND takedown_ref IS NULL
RETURNING did, handle, head_cid, head_rev, head_commit;

-- name: UpdateActorHandle :one
UPDATE pds_tenant.actor SET handle = @handle::text WHERE aid = @aid AND creating_since IS NULL
RETURNING did, unannounced;

-- name: LockActor :one
SELECT aid, did, handle, deactivated_at, delete_after, takedown_ref, unannounced FROM pds_tenant.actor
WHERE aid = @aid AND creating_since IS NULL FOR UPDATE;

-- name: LockActorDueForDeletion :one
-- Only what is still deactivated: an activation takes the date away with it. Arrivals are looked at one by one.
SELECT aid, did FROM pds_tenant.actor
WHERE delete_after <= @now::timestamptz AND deactivated_at IS NOT NULL AND creating_since IS NULL AND NOT unannounced
ORDER BY delete_after LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: ListArrivalsDue :many
-- Accounts that moved here, were never activated, and whose time has come.
SELECT aid, did, delete_after::timestamptz AS delete_after FROM pds_tenant.actor
WHERE delete_after <= @now::timestamptz AND deactivated_at IS NOT NULL AND unannounced AND aid > @after_aid::bigint
ORDER BY aid LIMIT @max_rows::int;

-- name: LockArrivalDue :one
-- One of them, if it still is one and no other process is at it.
SELECT aid FROM pds_tenant.actor
WHERE aid = @aid AND delete_after <= @now::timestamptz AND deactivated_at IS NOT NULL AND unannounced
FOR UPDATE SKIP LOCKED;

-- name: UpdateArrivalKept :execrows
UPDATE pds_tenant.actor SET delete_after = @until::timestamptz
WHERE aid = @aid AND delete_after <= @now::timestamptz AND deactivated_at IS NOT NULL AND unannounced;

-- name: InsertMovedActor :exec
-- An account with a DID of its own: deactivated until its DID document leads here, unknown to the firehose.
INSERT INTO pds_tenant.actor (aid, did, handle, deactivated_at, delete_after, unannounced, session_epoch, created_at)
VALUES (@aid, @did, @handle::text, @created_at::timestamptz, @delete_after::timestamptz, true, @session_epoch, @created_at::timestamptz);

-- name: CountActorsWithDID :one
SELECT count(*)::int FROM pds_tenant.actor WHERE did = @did;

-- name: CountRepoBlocks :one
-- Distinct blocks besides the commit, and records by path.
SELECT (SELECT count(*) FROM pds_tenant.mst_node n WHERE n.aid = @aid)::bigint AS nodes,
  (SELECT count(DISTINCT r.cid) FROM pds_tenant.record r WHERE r.aid = @aid)::bigint AS blocks,
  (SELECT count(*) FROM pds_tenant.record r WHERE r.aid = @aid)::bigint AS records;

-- name: UpdateAccountEmail :exec
-- A new address is not confirmed.
UPDATE pds_tenant.account SET email = @email::text, email_confirmed_at = NULL WHERE aid = @aid;

-- name: UpdateAccountEmailConfirmed :execrows
-- Only the address that was asked about.
UPDATE pds_tenant.account SET email_confirmed_at = @now::timestamptz WHERE aid = @aid AND email = @email::text;

-- name: UpdateAccountPassword :execrows
UPDATE pds_tenant.account SET password_hash = @password_hash::text WHERE aid = @aid;

-- name: DeleteAppPasswordSessions :exec
DELETE FROM pds_tenant.refresh_token WHERE aid = @aid AND app_password_name = @name::text;

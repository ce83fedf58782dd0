-- name: InsertSignupActor :exec
INSERT INTO pds_tenant.actor (aid, did, handle, creating_since, session_epoch, created_at)
VALUES (@aid, @did, @handle::text, @creating_since::timestamptz, @session_epoch, @created_at);

-- name: UpdateActorCreated :execrows
-- Ends a sign-up, only if it is still the one that began (creating_since is its mark).
UPDATE pds_tenant.actor SET creating_since = NULL
WHERE aid = @aid AND creating_since = @creating_since::timestamptz;

-- name: LockSignupActor :one
-- Takes the row of an unfinished sign-up that began exactly then.
SELECT aid FROM pds_tenant.actor
WHERE aid = @aid AND creating_since = @creating_since::timestamptz
FOR UPDATE;

-- name: LockStaleSignups :many
-- Sign-ups that began before @before and never ended. Those that another process is removing now are passed over.
SELECT aid, did, creating_since::timestamptz AS creating_since FROM pds_tenant.actor
WHERE creating_since < @before::timestamptz
ORDER BY aid LIMIT @max_rows::int
FOR UPDATE SKIP LOCKED;

-- name: LockStaleSignupsOf :many
-- The same, but only what stands in the way of this handle or this email address.
SELECT a.aid FROM pds_tenant.actor a
WHERE a.creating_since < @before::timestamptz
  AND (a.handle = @handle::text
    OR a.aid = (SELECT c.aid FROM pds_tenant.account c WHERE c.email = @email::text))
ORDER BY a.aid LIMIT 10
FOR UPDATE OF a;

-- name: UpdateSignupDisplaced :exec
-- Another takes the names. The row stays for the sweep, which ends the DID too; a process that wakes up after all does
-- not find its mark.
WITH email AS (UPDATE pds_tenant.account c SET email = NULL WHERE c.aid = @aid)
UPDATE pds_tenant.actor a SET handle = NULL, creating_since = (creating_since AT TIME ZONE 'UTC' - interval '1 second') AT TIME ZONE 'UTC' WHERE a.aid = @aid;

-- name: DeleteActor :exec
DELETE FROM pds_tenant.actor WHERE aid = @aid;

-- name: DeleteActorNodes :exec
DELETE FROM pds_tenant.mst_node WHERE aid = @aid;

-- name: GetActorStatus :one
-- What the gate asks of every caller. Unfinished sign-ups do not exist for it.
SELECT aid, did, handle, deactivated_at, takedown_ref, session_epoch, app_epoch, head_rev FROM pds_tenant.actor
WHERE did = @did AND creating_since IS NULL;

-- name: GetActorStatusByHandle :one
SELECT aid, did, handle, deactivated_at, takedown_ref, session_epoch, app_epoch, head_rev FROM pds_tenant.actor
WHERE handle = @handle::text AND creating_since IS NULL;

-- What a copy of the database must have before it is read instead: the newest commit, and the history that the stream is of.
-- name: GetReadPoint :one
SELECT a.did, coalesce(a.head_rev, 0)::bigint AS head_rev, s.jumped_to, s.timeline
FROM pds_tenant.actor a JOIN pds_tenant.stream_head s ON s.id = 1 WHERE a.aid = @aid AND a.creating_since IS NULL;

-- name: LockSessionEpoch :one
-- Before a session is made or prolonged. Whoever ends sessions changes this row first: one of the two waits for the
-- other, and the later sees what the earlier did.
SELECT aid, session_epoch, app_epoch FROM pds_tenant.actor WHERE did = @did AND creating_since IS NULL FOR SHARE;

-- name: UpdateActorSessionsEnded :one
-- All access tokens that are out are dead from here on.
UPDATE pds_tenant.actor SET session_epoch = session_epoch + 1 WHERE aid = @aid AND creating_since IS NULL
RETURNING did;

-- name: UpdateActorAppsEnded :exec
-- Those that came from app passwords.
UPDATE pds_tenant.actor SET app_epoch = app_epoch + 1 WHERE aid = @aid;

-- name: CountActorsWithHandle :one
-- Also counts unfinished sign-ups that are not stale: the name is promised to them.
SELECT count(*)::int FROM pds_tenant.actor
WHERE handle = @handle::text AND (creating_since IS NULL OR creating_since >= @stale_before::timestamptz);

-- name: CountActors :one
SELECT count(*) FROM pds_tenant.actor WHERE creating_since IS NULL;

-- name: ListActorsWithCollection :many
-- Active accounts with a record in a collection: from is "collection/", upto "collection0", which is what follows it.
SELECT a.aid, a.did FROM pds_tenant.actor a
WHERE a.aid > @after_aid AND a.creating_since IS NULL AND a.deactivated_at IS NULL AND a.takedown_ref IS NULL
  AND EXISTS (SELECT 1 FROM pds_tenant.record r WHERE r.aid = a.aid AND r.path > @from_path AND r.path < @upto_path)
ORDER BY a.aid LIMIT @max_rows::int;

-- name: ListActorsNewest :many
-- Active accounts that have written, the newest first, with what the network should know of them.
SELECT a.did, a.handle, a.head_rev, coalesce(c.key_public, '')::text AS signing_key
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid
WHERE a.creating_since IS NULL AND a.deactivated_at IS NULL AND a.takedown_ref IS NULL AND a.head_rev > 0
ORDER BY a.aid DESC LIMIT @max_rows::int;

-- name: InsertSignupRequest :exec
INSERT INTO pds_tenant.signup_request (aid, genesis, lang, created_at) VALUES (@aid, @genesis, @lang, @created_at);

-- name: CountSignupRequestsOf :one
SELECT count(*)::int FROM pds_tenant.signup_request WHERE aid = @aid;

-- name: GetSignupPlace :one
-- How many that nobody has decided on were there before this one, and this one.
SELECT (SELECT count(*) FROM pds_tenant.signup_request o WHERE o.rejected_at IS NULL AND (o.created_at, o.aid) <= (s.created_at, s.aid))::int AS place
FROM pds_tenant.signup_request s WHERE s.aid = @aid;

-- name: LockSignupRequest :one
SELECT aid, genesis, lang, created_at, approving_at, rejected_at FROM pds_tenant.signup_request WHERE aid = @aid FOR UPDATE;

-- name: UpdateSignupApproving :exec
UPDATE pds_tenant.signup_request SET approving_at = @now::timestamptz WHERE aid = @aid;

-- name: UpdateSignupRejected :exec
UPDATE pds_tenant.signup_request SET rejected_at = coalesce(rejected_at, @now::timestamptz) WHERE aid = @aid;

-- name: ListRejectedSignups :many
-- Rejections that somebody began and did not end. announced: the PLC directory may know the DID.
SELECT s.aid, a.did, (s.approving_at IS NOT NULL)::boolean AS announced FROM pds_tenant.signup_request s JOIN pds_tenant.actor a ON a.aid = s.aid
WHERE s.rejected_at <= @before::timestamptz AND s.aid > @after_aid::bigint
ORDER BY s.aid LIMIT @max_rows::int;

-- name: ListSignupRequests :many
SELECT s.aid, a.did, a.handle, c.email, s.created_at, (s.genesis = '')::boolean AS moved
FROM pds_tenant.signup_request s JOIN pds_tenant.actor a ON a.aid = s.aid JOIN pds_tenant.account c ON c.aid = s.aid
WHERE a.creating_since IS NULL AND s.rejected_at IS NULL AND (s.created_at, s.aid) > (@after_at::timestamptz, @after_aid::bigint)
ORDER BY s.created_at, s.aid LIMIT @max_rows::int;

-- name: DeleteSignupRequest :exec
DELETE FROM pds_tenant.signup_request WHERE aid = @aid;

-- name: UpdateActorQueued :exec
-- One that moves here has its time to do so from the decision on.
UPDATE pds_tenant.actor SET creating_since = NULL, deactivated_at = @now::timestamptz, delete_after = NULL, unannounced = true WHERE aid = @aid;

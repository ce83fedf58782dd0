-- name: GetOperatorToken :one
SELECT token_id, label, role, tenant_id, created_by, created_at, expires_at, last_used_at FROM control.operator_token WHERE token_id = @token_id;

-- name: InsertOperatorFactor :execrows
-- 0 rows: the key is known, or there are as many as there may be.
INSERT INTO control.operator_factor (who, factor_id, kind, name, sealed, public_key, aaguid, transports, flags, counter, created_at)
SELECT @who::text, @factor_id::bytea, @kind::smallint, @name::text, @sealed::bytea, @public_key::bytea, @aaguid::bytea, @transports::text, @flags::smallint, @counter::bigint, @created_at::timestamptz
WHERE (SELECT count(*) FROM control.operator_factor f WHERE f.who = @who::text) < @max_rows::int
ON CONFLICT DO NOTHING;

-- name: ListOperatorFactors :many
SELECT * FROM control.operator_factor WHERE who = @who ORDER BY created_at, factor_id LIMIT @max_rows::int;

-- name: CountOperatorFactors :one
SELECT count(*) FROM control.operator_factor WHERE who = @who;

-- name: GetOperatorFactor :one
SELECT * FROM control.operator_factor WHERE factor_id = @factor_id;

-- name: UpdateOperatorFactorUsed :execrows
-- 0 rows: it has counted further meanwhile. A key that does not count is always at 0.
UPDATE control.operator_factor SET counter = @counter, flags = @flags, last_used_at = @now::timestamptz
WHERE who = @who AND factor_id = @factor_id AND (counter < @counter OR kind = 2 AND counter = 0 AND @counter = 0);

-- name: DeleteOperatorFactor :execrows
-- The last one stays: without any there would be no way in.
DELETE FROM control.operator_factor f WHERE f.who = @who AND f.factor_id = @factor_id
AND EXISTS (SELECT 1 FROM control.operator_factor o WHERE o.who = @who AND o.factor_id <> @factor_id);

-- name: DeleteOperatorFactors :execrows
DELETE FROM control.operator_factor WHERE who = @who;

-- name: DeleteOperatorFactorsOrphaned :execrows
-- Those of the deployment's operators whose token has expired or is gone: nobody comes in by them any more, and no token comes
-- back. A tenant's operator keeps its factors whatever tokens it has.
DELETE FROM control.operator_factor f WHERE (f.who, f.factor_id) IN (
  SELECT x.who, x.factor_id FROM control.operator_factor x WHERE starts_with(x.who, 'token:')
  AND NOT EXISTS (SELECT 1 FROM control.operator_token t WHERE t.token_id = substr(x.who, 7) AND (t.expires_at IS NULL OR t.expires_at > @now::timestamptz))
  ORDER BY x.who, x.factor_id LIMIT @max_rows::int);

-- name: InsertOperatorSession :exec
INSERT INTO control.operator_session (session_hash, who, way, created_at, seen_at, ends_at, address, agent)
VALUES (@session_hash, @who, @way, @now::timestamptz, @now::timestamptz, @ends_at::timestamptz, @address, @agent);

-- name: DeleteOperatorSessionsBeyond :exec
-- The newest stay.
DELETE FROM control.operator_session WHERE session_hash IN (
  SELECT s.session_hash FROM control.operator_session s WHERE s.who = @who ORDER BY s.created_at DESC, s.session_hash OFFSET @keep::int);

-- name: GetOperatorSession :one
SELECT * FROM control.operator_session WHERE session_hash = @session_hash;

-- name: ListOperatorSessions :many
SELECT * FROM control.operator_session WHERE who = @who AND ends_at > @now::timestamptz AND seen_at > @idle::timestamptz ORDER BY created_at DESC LIMIT @max_rows::int;

-- name: UpdateOperatorSessionSeen :exec
UPDATE control.operator_session SET seen_at = @now::timestamptz WHERE session_hash = @session_hash;

-- name: DeleteOperatorSession :execrows
DELETE FROM control.operator_session WHERE who = @who AND session_hash = @session_hash;

-- name: DeleteOperatorSessions :execrows
DELETE FROM control.operator_session WHERE who = @who AND session_hash <> @but::bytea;

-- name: DeleteOperatorSessionsEnded :execrows
DELETE FROM control.operator_session WHERE session_hash IN (
  SELECT s.session_hash FROM control.operator_session s WHERE s.ends_at <= @now::timestamptz ORDER BY s.ends_at LIMIT @max_rows::int);

-- name: InsertOperatorLink :exec
INSERT INTO control.operator_link (link_hash, who, created_by, created_at, ends_at) VALUES (@link_hash, @who, @created_by, @created_at, @ends_at);

-- name: DeleteOperatorLink :one
DELETE FROM control.operator_link WHERE link_hash = @link_hash RETURNING who, ends_at;

-- name: DeleteOperatorLinks :execrows
DELETE FROM control.operator_link WHERE who = @who;

-- name: DeleteOperatorLinksEnded :execrows
DELETE FROM control.operator_link WHERE link_hash IN (
  SELECT l.link_hash FROM control.operator_link l WHERE l.ends_at <= @now::timestamptz ORDER BY l.ends_at LIMIT @max_rows::int);

-- name: InsertOperatorAnswer :execrows
-- 0 rows: it was answered before.
INSERT INTO control.operator_answer (digest, ends_at) VALUES (@digest, @ends_at::timestamptz) ON CONFLICT DO NOTHING;

-- name: DeleteOperatorAnswersEnded :execrows
DELETE FROM control.operator_answer WHERE digest IN (
  SELECT a.digest FROM control.operator_answer a WHERE a.ends_at <= @now::timestamptz ORDER BY a.ends_at LIMIT @max_rows::int);

-- name: InsertOperatorSecret :exec
INSERT INTO control.operator_secret (purpose, sealed, created_at) VALUES (@purpose, @sealed, @created_at) ON CONFLICT DO NOTHING;

-- name: GetOperatorSecret :one
SELECT sealed FROM control.operator_secret WHERE purpose = @purpose;

-- What let a tenant's operators in, and the bearers of the deployment's tokens that are for it alone. @prefix is how its operators'
-- names begin.
-- name: DeleteOperatorFactorsOfTenant :exec
DELETE FROM control.operator_factor WHERE starts_with(who, @prefix::text)
OR who IN (SELECT 'token:' || t.token_id FROM control.operator_token t WHERE t.tenant_id = @tenant_id::bigint);

-- name: DeleteOperatorSessionsOfTenant :exec
DELETE FROM control.operator_session WHERE starts_with(who, @prefix::text)
OR who IN (SELECT 'token:' || t.token_id FROM control.operator_token t WHERE t.tenant_id = @tenant_id::bigint);

-- name: DeleteOperatorLinksOfTenant :exec
DELETE FROM control.operator_link WHERE starts_with(who, @prefix::text)
OR who IN (SELECT 'token:' || t.token_id FROM control.operator_token t WHERE t.tenant_id = @tenant_id::bigint);

-- name: InsertOAuthProofs :many
-- Uses up proofs of possession, and looks at the sessions that they are shown with: a row for each whose session there is.
-- fresh: the proof was not shown before.
WITH shown AS (
  SELECT unnest(@digests::bytea[]) AS digest, unnest(@sessions::bytea[]) AS session
), fresh AS (
  INSERT INTO pds_tenant.oauth_proof (digest, expires_at) SELECT encode(p.digest, 'hex')::uuid, @expires_at::bigint FROM shown p
  ON CONFLICT DO NOTHING RETURNING digest
)
SELECT p.digest::bytea AS digest, (f.digest IS NOT NULL)::boolean AS fresh, s.epoch, s.client_id, s.jkt, s.scope, s.generation, s.expires_at,
  a.aid, a.did, a.handle, (a.takedown_ref IS NOT NULL)::boolean AS taken_down, (a.deactivated_at IS NOT NULL)::boolean AS deactivated, a.session_epoch
FROM shown p
JOIN pds_tenant.oauth_session s ON s.id = p.session
JOIN pds_tenant.actor a ON a.aid = s.aid
LEFT JOIN fresh f ON f.digest = encode(p.digest, 'hex')::uuid;

-- name: DeleteExpiredOAuthProofs :execrows
DELETE FROM pds_tenant.oauth_proof WHERE expires_at <= @before::bigint;

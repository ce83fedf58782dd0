-- What was proved restorable, and when.

-- An archive of a tenant that is here, whole. One that is older than the one that was proved last says nothing new.
-- name: UpsertTenantProved :execrows
INSERT INTO control.tenant_proof AS p (tenant_id, proved_at, archive, made_at, encrypted, proved_by)
SELECT t.tenant_id, @proved_at::timestamptz, @archive::text, @made_at::timestamptz, @encrypted::boolean, @proved_by::text
FROM control.tenant t WHERE t.schema_name = @schema_name AND t.created_at = @created_at FOR KEY SHARE
ON CONFLICT (tenant_id) DO UPDATE SET proved_at = excluded.proved_at, archive = excluded.archive, made_at = excluded.made_at,
  encrypted = excluded.encrypted, proved_by = excluded.proved_by, failed_at = NULL, problem = ''
WHERE p.made_at IS NULL OR p.made_at <= excluded.made_at;

-- name: UpsertTenantNotProved :execrows
INSERT INTO control.tenant_proof (tenant_id, failed_at, problem)
SELECT t.tenant_id, @failed_at::timestamptz, @problem::text
FROM control.tenant t WHERE t.schema_name = @schema_name AND t.created_at = @created_at FOR KEY SHARE
ON CONFLICT (tenant_id) DO UPDATE SET failed_at = excluded.failed_at, problem = excluded.problem;

-- Every tenant that is served or suspended, with what is known of its archives.
-- name: ListTenantProofs :many
SELECT t.tenant_id, t.hostname, t.created_at, p.proved_at, coalesce(p.archive, '')::text AS archive, p.made_at, coalesce(p.encrypted, false)::boolean AS encrypted,
  coalesce(p.proved_by, '')::text AS proved_by, p.failed_at, coalesce(p.problem, '')::text AS problem
FROM control.tenant t LEFT JOIN control.tenant_proof p ON p.tenant_id = t.tenant_id
WHERE t.state IN (1, 2, 3) AND t.tenant_id > @after ORDER BY t.tenant_id LIMIT @max_rows::int;

-- How many such tenants there are, how many of them were never proved restorable, how many not since, the oldest proof,
-- and of how many the last trial failed.
-- name: GetTenantProofs :one
SELECT count(*) AS tenants, count(*) FILTER (WHERE p.proved_at IS NULL) AS never, count(*) FILTER (WHERE p.proved_at < @since::timestamptz) AS stale,
  count(*) FILTER (WHERE p.failed_at IS NOT NULL) AS failing, coalesce(min(p.proved_at), 'epoch')::timestamptz AS oldest
FROM control.tenant t LEFT JOIN control.tenant_proof p ON p.tenant_id = t.tenant_id WHERE t.state IN (1, 2, 3);

-- name: GetDeploymentProof :one
SELECT * FROM control.deployment_proof WHERE id = 1;

-- name: UpsertDeploymentProved :exec
INSERT INTO control.deployment_proof (id, proved_at, made_at, tenants, sealed, proved_by)
VALUES (1, @proved_at::timestamptz, @made_at::timestamptz, @tenants, @sealed, @proved_by)
ON CONFLICT (id) DO UPDATE SET proved_at = excluded.proved_at, made_at = excluded.made_at, tenants = excluded.tenants, sealed = excluded.sealed,
  proved_by = excluded.proved_by, failed_at = NULL, problem = '';

-- name: UpsertDeploymentNotProved :exec
INSERT INTO control.deployment_proof (id, failed_at, problem) VALUES (1, @failed_at::timestamptz, @problem)
ON CONFLICT (id) DO UPDATE SET failed_at = excluded.failed_at, problem = excluded.problem;

-- How new a copy of the database is: the last beat of a process, or the last thing that somebody did.
-- name: GetNewestMoment :one
SELECT greatest(
  coalesce((SELECT max(p.seen_at) FROM control.process p), 'epoch'), coalesce((SELECT max(t.created_at) FROM control.tenant t), 'epoch'),
  coalesce((SELECT a.at FROM control.audit a ORDER BY a.audit_id DESC LIMIT 1), 'epoch'))::timestamptz AS at;

-- name: UpsertLimitCounts :many
-- Adds what one node counted and answers with what all of them did. Keys come sorted, so nodes cannot deadlock.
INSERT INTO pds_tenant.limit_count AS l (bucket, key, ends_at, points)
SELECT x.bucket, x.key, x.ends_at, x.points
FROM unnest(@buckets::text[], @keys::text[], @ends::bigint[], @points::bigint[]) AS x(bucket, key, ends_at, points)
ON CONFLICT (bucket, key, ends_at) DO UPDATE SET points = l.points + excluded.points
RETURNING bucket, key, ends_at, points;

-- name: DeleteLimitCounts :execrows
DELETE FROM pds_tenant.limit_count WHERE (bucket, key, ends_at) IN (
  SELECT d.bucket, d.key, d.ends_at FROM pds_tenant.limit_count d WHERE d.ends_at <= @before ORDER BY d.ends_at LIMIT @max_rows::int);

-- name: ListSigninFailures :many
SELECT key, failures, last_at FROM pds_tenant.signin_failure WHERE key = ANY (@keys::text[]) LIMIT 10;

-- name: UpsertSigninFailure :exec
-- Failures in a row; those older than @since are forgiven. Keys come sorted.
INSERT INTO pds_tenant.signin_failure AS f (key, failures, last_at)
SELECT k.key, 1, @now::timestamptz FROM unnest(@keys::text[]) AS k(key)
ON CONFLICT (key) DO UPDATE SET failures = CASE WHEN f.last_at < @since::timestamptz THEN 1 ELSE f.failures + 1 END, last_at = excluded.last_at;

-- name: UpsertCodeGuess :execrows
-- Counts a guess before it is looked at: of any number that come at once, to whichever process, no more than @free get
-- through, and then one after each wait, which doubles up to @most seconds. Nothing when the guess has to wait.
INSERT INTO pds_tenant.signin_failure AS f (key, failures, last_at) VALUES (@key, 1, @now::timestamptz)
ON CONFLICT (key) DO UPDATE SET failures = CASE WHEN f.last_at < @since::timestamptz THEN 1 ELSE f.failures + 1 END, last_at = excluded.last_at
WHERE f.failures < @free::int OR f.last_at + make_interval(secs => least(@most::float8, power(2, least(f.failures - @free::int, 30)) * @unit::float8)) <= @now::timestamptz;

-- name: DeleteSigninFailures :exec
DELETE FROM pds_tenant.signin_failure WHERE key = ANY (@keys::text[]);

-- name: DeleteOldSigninFailures :execrows
DELETE FROM pds_tenant.signin_failure WHERE key IN (
  SELECT d.key FROM pds_tenant.signin_failure d WHERE d.last_at <= @before::timestamptz ORDER BY d.last_at LIMIT @max_rows::int);

-- name: CountLimitRows :one
SELECT count(*)::int FROM pds_tenant.limit_count;

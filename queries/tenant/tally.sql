-- Rate limits have a bucket's name and the end of a window. Refused sign-ins have neither: bucket '', ends_at 0.

-- name: UpsertLimitCounts :many
-- Adds what one node counted and answers with what all of them did. Keys come sorted, so nodes cannot deadlock.
INSERT INTO pds_tenant.tally AS l (bucket, key, ends_at, points)
SELECT x.bucket, x.key, x.ends_at, x.points
FROM unnest(@buckets::text[], @keys::text[], @ends::bigint[], @points::bigint[]) AS x(bucket, key, ends_at, points)
ON CONFLICT (bucket, key, ends_at) DO UPDATE SET points = l.points + excluded.points
RETURNING bucket, key, ends_at, points;

-- name: DeleteLimitCounts :execrows
DELETE FROM pds_tenant.tally WHERE (bucket, key, ends_at) IN (
  SELECT d.bucket, d.key, d.ends_at FROM pds_tenant.tally d WHERE d.ends_at > 0 AND d.ends_at <= @before::bigint ORDER BY d.ends_at LIMIT @max_rows::int);

-- name: ListSigninFailures :many
SELECT key, points::int AS failures, last_at::timestamptz AS last_at FROM pds_tenant.tally
WHERE bucket = '' AND key = ANY (@keys::text[]) AND ends_at = 0 LIMIT 10;

-- name: UpsertSigninFailure :exec
-- Failures in a row; those older than @since are forgiven. Keys come sorted.
INSERT INTO pds_tenant.tally AS f (bucket, key, ends_at, points, last_at)
SELECT '', k.key, 0, 1, @now::timestamptz FROM unnest(@keys::text[]) AS k(key)
ON CONFLICT (bucket, key, ends_at) DO UPDATE SET points = CASE WHEN f.last_at < @since::timestamptz THEN 1 ELSE f.points + 1 END, last_at = excluded.last_at;

-- name: UpsertCodeGuess :execrows
-- Counts a guess before it is looked at: of any number that come at once, to whichever process, no more than @free get
-- through, and then one after each wait, which doubles up to @most seconds. Nothing when the guess has to wait.
INSERT INTO pds_tenant.tally AS f (bucket, key, ends_at, points, last_at) VALUES ('', @key, 0, 1, @now::timestamptz)
ON CONFLICT (bucket, key, ends_at) DO UPDATE SET points = CASE WHEN f.last_at < @since::timestamptz THEN 1 ELSE f.points + 1 END, last_at = excluded.last_at
WHERE f.points < @free::int OR (f.last_at AT TIME ZONE 'UTC' + make_interval(secs => least(@most::float8, power(2, least(f.points - @free::int, 30)) * @unit::float8))) AT TIME ZONE 'UTC' <= @now::timestamptz;

-- name: DeleteSigninFailures :exec
DELETE FROM pds_tenant.tally WHERE bucket = '' AND key = ANY (@keys::text[]) AND ends_at = 0;

-- name: DeleteOldSigninFailures :execrows
-- By reading through the bucket: the time of a failure moves with each, and an index by it would have to move along.
DELETE FROM pds_tenant.tally WHERE bucket = '' AND ends_at = 0 AND key IN (
  SELECT d.key FROM pds_tenant.tally d WHERE d.bucket = '' AND d.ends_at = 0 AND d.last_at <= @before::timestamptz LIMIT @max_rows::int);

-- name: CountLimitRows :one
SELECT count(*)::int FROM pds_tenant.tally WHERE ends_at > 0;

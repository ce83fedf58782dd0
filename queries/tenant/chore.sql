-- name: UpsertChoreClaim :execrows
-- Takes a turn at a chore that is due: 1 row for one node, 0 for all others.
INSERT INTO pds_tenant.chore AS c (name, next_at) VALUES (@name, @next_at)
ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE c.next_at <= @now;

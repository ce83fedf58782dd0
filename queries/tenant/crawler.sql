-- name: InsertCrawler :exec
INSERT INTO pds_tenant.crawler (url, told_seq, next_at) VALUES (@url, 0, @next_at) ON CONFLICT (url) DO NOTHING;

-- name: GetCrawler :one
SELECT told_seq, next_at, failures FROM pds_tenant.crawler WHERE url = @url;

-- name: UpdateCrawlerClaim :execrows
-- Of several nodes one gets the turn: 1 row, or 0.
UPDATE pds_tenant.crawler SET told_seq = @seq, next_at = @next_at
WHERE url = @url AND next_at <= @now AND told_seq < @seq;

-- name: UpdateCrawlerFailed :exec
-- The turn was used in vain: again at next_at, if nobody else was told meanwhile.
UPDATE pds_tenant.crawler SET told_seq = @old_seq, next_at = @next_at, failures = failures + 1
WHERE url = @url AND told_seq = @seq;

-- name: UpdateCrawlerSucceeded :exec
UPDATE pds_tenant.crawler SET failures = 0 WHERE url = @url AND failures > 0;

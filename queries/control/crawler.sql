-- name: ListCrawlers :many
SELECT c.url, c.told_seq, c.next_at, c.failures FROM control.crawler c JOIN control.tenant t USING (tenant_id)
WHERE t.schema_name = @schema_name ORDER BY c.url LIMIT @max_rows::int;

-- name: GetCrawlerFailures :one
-- How often in a row a relay did not take it.
SELECT c.failures FROM control.crawler c JOIN control.tenant t USING (tenant_id) WHERE t.schema_name = @schema_name AND c.url = @url;

-- name: InsertCrawlers :exec
INSERT INTO control.crawler (tenant_id, url, told_seq, next_at)
SELECT t.tenant_id, u.url, 0, @next_at FROM control.tenant t, unnest(@urls::text[]) AS u(url) WHERE t.schema_name = @schema_name
ON CONFLICT (tenant_id, url) DO NOTHING;

-- name: UpdateCrawlerClaim :execrows
-- Of several processes one gets the turn: 1 row, or 0.
UPDATE control.crawler c SET told_seq = @seq, next_at = @next_at FROM control.tenant t
WHERE t.schema_name = @schema_name AND c.tenant_id = t.tenant_id AND c.url = @url AND c.next_at <= @now AND c.told_seq < @seq;

-- name: UpdateCrawlerFailed :exec
-- The turn was used in vain: again at next_at, if nobody else was told meanwhile.
UPDATE control.crawler c SET told_seq = @old_seq, next_at = @next_at, failures = c.failures + 1 FROM control.tenant t
WHERE t.schema_name = @schema_name AND c.tenant_id = t.tenant_id AND c.url = @url AND c.told_seq = @seq;

-- name: UpdateCrawlerSucceeded :exec
UPDATE control.crawler c SET failures = 0 FROM control.tenant t
WHERE t.schema_name = @schema_name AND c.tenant_id = t.tenant_id AND c.url = @url AND c.failures > 0;

-- name: DeleteCrawlersOfTenant :exec
-- The tenant has another name, of which no relay was told.
DELETE FROM control.crawler WHERE tenant_id = @tenant_id;

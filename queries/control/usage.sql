-- A process adds what it counted, batch by batch. The row of the process says which batch was the last: after an unknown
-- outcome the same batch is sent again, and changes nothing when it had been added.
-- name: LockUsageWriter :execrows
INSERT INTO control.usage_writer AS w (writer, batch, at) VALUES (@writer, @batch, @at)
ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at WHERE w.batch < excluded.batch;

-- The rows come in the order of their tenants, so that two processes do not wait for each other.
-- name: UpsertUsageCounts :many
INSERT INTO control.usage_day AS u (tenant_id, day, hostname, requests, egress_bytes)
SELECT unnest(@tenant_ids::bigint[]), unnest(@days::date[]), unnest(@hostnames::text[]), unnest(@requests::bigint[]), unnest(@egress_bytes::bigint[])
ON CONFLICT (tenant_id, day) DO UPDATE SET hostname = excluded.hostname, requests = u.requests + excluded.requests, egress_bytes = u.egress_bytes + excluded.egress_bytes
RETURNING tenant_id, day, requests;

-- name: ListUsageRequests :many
SELECT tenant_id, requests FROM control.usage_day WHERE day = @day AND tenant_id = ANY (@tenant_ids::bigint[]);

-- name: UpsertUsageGauges :exec
INSERT INTO control.usage_day AS u (tenant_id, day, hostname, accounts, active_accounts, records, record_bytes, blobs, blob_bytes, events, gauged_at)
VALUES (@tenant_id, @day, @hostname, @accounts, @active_accounts, @records, @record_bytes, @blobs, @blob_bytes, @events, @gauged_at)
ON CONFLICT (tenant_id, day) DO UPDATE SET hostname = excluded.hostname, accounts = excluded.accounts, active_accounts = excluded.active_accounts,
  records = excluded.records, record_bytes = excluded.record_bytes, blobs = excluded.blobs, blob_bytes = excluded.blob_bytes,
  events = excluded.events, gauged_at = excluded.gauged_at;

-- name: ListTenantsGauged :many
SELECT tenant_id FROM control.usage_day WHERE day = @day AND gauged_at IS NOT NULL AND tenant_id = ANY (@tenant_ids::bigint[]);

-- One process takes a day's gauges. When it dies another goes on after busy_until.
-- name: LockUsageGauge :execrows
INSERT INTO control.usage_gauge AS g (day, taker, busy_until) VALUES (@day, @taker, @busy_until)
ON CONFLICT (day) DO UPDATE SET taker = excluded.taker, busy_until = excluded.busy_until
WHERE g.done_at IS NULL AND (g.busy_until < @now::timestamptz OR g.taker = excluded.taker);

-- name: UpdateUsageGaugeDone :execrows
UPDATE control.usage_gauge SET done_at = @now::timestamptz WHERE day = @day AND taker = @taker;

-- By day and tenant, behind the row that had @after_day and @after. 0 selects all tenants.
-- name: ListUsageDays :many
SELECT * FROM control.usage_day
WHERE day >= @from_day::date AND day <= @to_day::date AND (day, tenant_id) > (@after_day::date, @after::bigint)
ORDER BY day, tenant_id LIMIT @max_rows::int;

-- name: ListUsageDaysOfTenant :many
SELECT * FROM control.usage_day
WHERE tenant_id = @tenant_id AND day >= @from_day::date AND day <= @to_day::date AND day > @after_day::date
ORDER BY day LIMIT @max_rows::int;

-- name: DeleteUsageDaysBefore :execrows
DELETE FROM control.usage_day u WHERE (u.tenant_id, u.day) IN (
  SELECT o.tenant_id, o.day FROM control.usage_day o WHERE o.day < @day::date ORDER BY o.day LIMIT @max_rows::int);

-- name: DeleteUsageGaugesBefore :execrows
DELETE FROM control.usage_gauge WHERE day < @day::date;

-- name: DeleteUsageWritersBefore :execrows
DELETE FROM control.usage_writer WHERE at < @at::timestamptz;

-- A tenant has reached a quota: one row, and whether it is the first of the day.
-- name: UpsertQuotaReached :execrows
INSERT INTO control.quota_reached AS r (tenant_id, quota, day, at) VALUES (@tenant_id, @quota, @day, @at)
ON CONFLICT (tenant_id, quota) DO UPDATE SET day = excluded.day, at = excluded.at WHERE r.day < excluded.day;

-- name: ListQuotasReached :many
SELECT tenant_id, quota, at FROM control.quota_reached WHERE day >= @since::date AND tenant_id = ANY (@tenant_ids::bigint[])
ORDER BY tenant_id, quota LIMIT @max_rows::int;

-- Items of kind 8.

-- name: UpsertOAuthConsent :exec
INSERT INTO pds_tenant.account_item (aid, kind, key, value, created_at)
SELECT a.aid, 8, convert_to(@client_id::text, 'UTF8'), @granted::text, @now::timestamptz FROM pds_tenant.actor a WHERE a.aid = @aid FOR KEY SHARE
ON CONFLICT (aid, kind, key) DO UPDATE SET value = excluded.value, created_at = excluded.created_at;

-- name: GetOAuthConsent :one
SELECT value AS granted FROM pds_tenant.account_item WHERE aid = @aid AND kind = 8 AND key = convert_to(@client_id::text, 'UTF8');

-- name: DeleteOAuthConsent :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 8 AND key = convert_to(@client_id::text, 'UTF8');

-- name: DeleteOAuthConsentsOf :exec
DELETE FROM pds_tenant.account_item WHERE aid = @aid AND kind = 8;

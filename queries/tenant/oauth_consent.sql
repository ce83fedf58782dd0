-- name: UpsertOAuthConsent :exec
INSERT INTO pds_tenant.oauth_consent (aid, client_id, granted, updated_at) VALUES (@aid, @client_id, @granted, @now)
ON CONFLICT (aid, client_id) DO UPDATE SET granted = excluded.granted, updated_at = excluded.updated_at;

-- name: GetOAuthConsent :one
SELECT granted FROM pds_tenant.oauth_consent WHERE aid = @aid AND client_id = @client_id;

-- name: DeleteOAuthConsent :exec
DELETE FROM pds_tenant.oauth_consent WHERE aid = @aid AND client_id = @client_id;

-- name: DeleteOAuthConsentsOf :exec
DELETE FROM pds_tenant.oauth_consent WHERE aid = @aid;

-- +goose Up
-- What has to move into the quarantine (taken down) or out of it (restored): nearly always nothing.
CREATE INDEX blob_misplaced ON pds_tenant.blob (aid, cid) WHERE (takedown_ref IS NOT NULL) <> (object LIKE 'quarantine/%');

-- +goose Down
DROP INDEX pds_tenant.blob_misplaced;

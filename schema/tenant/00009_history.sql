-- +goose Up
-- Which history the numbers are of: the timeline of the server that gave out the last one. A standby that is promoted
-- begins a timeline of its own, and so does a restore to a moment in the past: either may lack numbers that were given out.
-- Whoever takes the next number (or account key) then passes over a million of each, so that none is given out twice.
ALTER TABLE pds_tenant.stream_head ADD COLUMN timeline text COLLATE "C" NOT NULL DEFAULT '';
-- The numbers that were passed over last: those behind jumped_from, up to jumped_to.
ALTER TABLE pds_tenant.stream_head ADD COLUMN jumped_from bigint NOT NULL DEFAULT 0;
ALTER TABLE pds_tenant.stream_head ADD COLUMN jumped_to bigint NOT NULL DEFAULT 0;
UPDATE pds_tenant.stream_head SET timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) WHERE id = 1;

-- +goose Down
ALTER TABLE pds_tenant.stream_head DROP COLUMN jumped_to;
ALTER TABLE pds_tenant.stream_head DROP COLUMN jumped_from;
ALTER TABLE pds_tenant.stream_head DROP COLUMN timeline;

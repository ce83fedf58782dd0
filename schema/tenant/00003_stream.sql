-- +goose Up
-- Every event has a time in microseconds that rises with seq whatever the clocks of the nodes do: it is given out under
-- the same lock, at least 200 apart, so that each operation of a commit (200 at most) has a time of its own. JSON
-- consumers resume by it, and retention and cursors find the edge of the window by it, with a binary search over seq:
-- no index is needed, and none on the wall clock's time any more.
ALTER TABLE pds_tenant.stream_head ADD COLUMN last_us bigint NOT NULL DEFAULT 0;
ALTER TABLE pds_tenant.repo_event ADD COLUMN time_us bigint NOT NULL DEFAULT 0;
UPDATE pds_tenant.repo_event e SET time_us = x.us FROM (
  SELECT seq, (extract(epoch FROM max(sequenced_at) OVER (ORDER BY seq)) * 1000000)::bigint + 200 * row_number() OVER (ORDER BY seq) AS us
  FROM pds_tenant.repo_event) x WHERE x.seq = e.seq;
UPDATE pds_tenant.stream_head SET last_us = coalesce((SELECT max(time_us) FROM pds_tenant.repo_event), 0) WHERE id = 1;
DROP INDEX pds_tenant.repo_event_time;

-- kind 0 is nothing: an event of an account that was deleted, or numbers that were passed over on purpose. Its rev is the
-- number before the first it stands for, so a number without a row stays what it was: corruption.

-- What a relay was told: nodes agree here who tells it next, and when.
CREATE TABLE pds_tenant.crawler (
  url         text COLLATE "C" PRIMARY KEY,
  told_seq    bigint NOT NULL,                -- the newest event it was told of
  next_at     timestamptz NOT NULL,           -- not before
  failures    int NOT NULL DEFAULT 0
);

-- Housekeeping that one node at a time does: whoever moves next_at does it.
CREATE TABLE pds_tenant.chore (
  name        text COLLATE "C" PRIMARY KEY,
  next_at     timestamptz NOT NULL
);

-- +goose Down
DROP TABLE pds_tenant.chore;
DROP TABLE pds_tenant.crawler;
CREATE INDEX repo_event_time ON pds_tenant.repo_event USING brin (sequenced_at);
ALTER TABLE pds_tenant.repo_event DROP COLUMN time_us;
ALTER TABLE pds_tenant.stream_head DROP COLUMN last_us;

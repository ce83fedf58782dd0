-- +goose Up
-- What processes tell each other: which tenants have new events. Each writes a few rows of its own over and over, so that
-- the table stays small; n counts what it has told, and a reader sees by it when it missed some. It is a hint that is worth
-- nothing after a crash.
CREATE UNLOGGED TABLE control.stream_note (
  process_id  bigint NOT NULL,
  slot        int NOT NULL,                   -- n modulo the number of slots
  n           bigint NOT NULL,                -- counts the notes of the process from 1
  schemas     text[] COLLATE "C" NOT NULL,
  seqs        bigint[] NOT NULL,              -- the newest number of each
  noted_at    timestamptz NOT NULL,           -- old ones are deleted
  PRIMARY KEY (process_id, slot)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE control.stream_note;

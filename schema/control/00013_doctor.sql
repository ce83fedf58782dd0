-- +goose Up
-- What the servers' own doctor found when it looked last, and when it looks again: one row. Whichever process comes first
-- when it is due takes the turn.
CREATE TABLE control.doctor (
  id           int PRIMARY KEY CHECK (id = 1),
  due_at       timestamptz NOT NULL,
  held_until   timestamptz NOT NULL,          -- while a process looks
  began_at     timestamptz,                   -- NULL: it never looked
  ended_at     timestamptz,
  looked_by    text NOT NULL DEFAULT '',      -- host and address of the process: for people
  checks       int NOT NULL DEFAULT 0,        -- how many things were looked at
  errors       int NOT NULL DEFAULT 0,
  warnings     int NOT NULL DEFAULT 0,
  results      jsonb NOT NULL DEFAULT '[]',
  told         text NOT NULL DEFAULT '',      -- what the operator was told last: names the findings
  told_at      timestamptz,
  tell_error   text NOT NULL DEFAULT ''       -- why the last mail could not be sent
);

-- What each process finds about itself and its machine: a row a process, written every few minutes.
CREATE TABLE control.doctor_node (
  process_id   bigint PRIMARY KEY,
  address      text NOT NULL,                 -- host and address that it serves at: for people
  looked_at    timestamptz NOT NULL,
  facts        jsonb NOT NULL,
  results      jsonb NOT NULL
);

-- +goose Down
DROP TABLE control.doctor_node;
DROP TABLE control.doctor;

-- +goose Up
-- How many sign-ins a process has refused since it started, said with each beat. Null: it is of a version that does not say.
ALTER TABLE control.process
  ADD COLUMN refused_people bigint,
  ADD COLUMN refused_operators bigint;

-- +goose Down
ALTER TABLE control.process
  DROP COLUMN refused_operators,
  DROP COLUMN refused_people;

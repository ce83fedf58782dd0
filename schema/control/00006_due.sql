-- +goose Up
-- The processes that serve, and what each knows: a row a process, brought up to date every few seconds, gone when the
-- process ends in order. One that was not seen for a while is dead.
CREATE TABLE control.process (
  process_id      bigint PRIMARY KEY,         -- at random, another for each start
  address         text NOT NULL,              -- host and address that it serves at: for people
  version         text NOT NULL,              -- of the program
  control_version bigint NOT NULL,            -- of the control schema, as this program knows it
  tenant_version  bigint NOT NULL,            -- of tenants' schemas
  started_at      timestamptz NOT NULL,
  seen_at         timestamptz NOT NULL
);

-- What is due for which tenant, and when: found here, without asking any tenant's schema. A row is a promise that
-- somebody looks; what there is to do is in the tenant's schema. One kind of one tenant is one row for good.
CREATE TABLE control.due (
  tenant_id   bigint NOT NULL REFERENCES control.tenant ON DELETE CASCADE,
  kind        text COLLATE "C" NOT NULL,
  due_at      timestamptz NOT NULL,           -- infinity: nothing is known; of what is taken: when the lease ends
  last_at     timestamptz NOT NULL,           -- the latest date that was promised: an early look does not cancel it
  floor_at    timestamptz NOT NULL,           -- not before, whoever says that it is due
  held_until  timestamptz NOT NULL,           -- while a process works on it
  failures    int NOT NULL DEFAULT 0,         -- in a row
  PRIMARY KEY (tenant_id, kind)
) WITH (fillfactor = 80);
CREATE INDEX due_next ON control.due (kind, due_at);

-- What a relay was told of a tenant's stream: processes agree here who tells it next, and when.
CREATE TABLE control.crawler (
  tenant_id   bigint NOT NULL REFERENCES control.tenant ON DELETE CASCADE,
  url         text COLLATE "C" NOT NULL,
  told_seq    bigint NOT NULL,                -- the newest event it was told of
  next_at     timestamptz NOT NULL,           -- not before
  failures    int NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, url)
);

-- +goose Down
DROP TABLE control.crawler;
DROP TABLE control.due;
DROP TABLE control.process;

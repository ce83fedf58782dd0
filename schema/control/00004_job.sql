-- +goose Up
-- Long work: what it is, how far it is, and who does it. Any process goes on with the work of one that died.
CREATE TABLE control.job (
  job_id      text COLLATE "C" PRIMARY KEY, -- rises with time
  kind        text COLLATE "C" NOT NULL,
  tenant_id   bigint NOT NULL,            -- 0: no tenant's. No reference: what became of a deleted tenant can be read
  alone       boolean NOT NULL,           -- no other such job of the tenant at the same time
  local       boolean NOT NULL,           -- done by the process that began it, or by nobody: it has files open
  state       smallint NOT NULL,          -- 0 waiting, 1 running, 2 done, 3 failed, 4 cancelled
  cancel      boolean NOT NULL DEFAULT false, -- somebody wants it to end
  args        jsonb NOT NULL,
  saved       jsonb,                      -- what the work needs to know to go on
  step        text NOT NULL DEFAULT '',
  done        bigint NOT NULL DEFAULT 0,
  total       bigint NOT NULL DEFAULT 0,  -- 0: not known
  result      jsonb,
  error       text NOT NULL DEFAULT '',   -- also of an attempt that will be made again
  attempts    int NOT NULL DEFAULT 0,     -- also tells one claim from the next
  key         text COLLATE "C",           -- two jobs of one kind and key are one
  created_by  text NOT NULL,
  created_at  timestamptz NOT NULL,
  started_at  timestamptz,
  ended_at    timestamptz,
  due_at      timestamptz NOT NULL        -- waiting: not before; running: the end of the claim
);
CREATE INDEX job_due ON control.job (due_at) WHERE state < 2;
CREATE INDEX job_tenant ON control.job (tenant_id, job_id);
CREATE INDEX job_ended ON control.job (ended_at) WHERE state >= 2;
CREATE UNIQUE INDEX job_alone ON control.job (tenant_id) WHERE alone AND state < 2;
CREATE UNIQUE INDEX job_key ON control.job (kind, key) WHERE key IS NOT NULL;

-- +goose Down
DROP TABLE control.job;

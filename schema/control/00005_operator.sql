-- +goose Up
-- The deployment's operators: what they call with, what they did, which calls they may repeat; and what tenants used.

-- Credentials of the operator API. The secret is shown once; here is its SHA-256, of 256 random bits.
CREATE TABLE control.operator_token (
  token_id     text COLLATE "C" PRIMARY KEY,
  token_hash   bytea NOT NULL UNIQUE,
  label        text NOT NULL,
  role         smallint NOT NULL,          -- 1 owner, 2 support, 3 billing, 4 one tenant
  tenant_id    bigint,                     -- of role 4; it outlives the tenant and then opens nothing
  created_by   text NOT NULL,
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,                -- null: until it is revoked
  last_used_at timestamptz
);

-- What was done to the deployment and to whole tenants. A line is there before the change, as 'begun'.
CREATE TABLE control.audit (
  audit_id    text COLLATE "C" PRIMARY KEY, -- rises with time
  at          timestamptz NOT NULL,
  who         text COLLATE "C" NOT NULL,    -- a token's id and label, cli:<user>, or locus itself
  role        smallint NOT NULL,
  action      text COLLATE "C" NOT NULL,
  tenant_id   bigint NOT NULL,              -- 0: none
  subject     text COLLATE "C" NOT NULL,    -- a hostname, a token's id, a job's number
  detail      text NOT NULL,                -- JSON object, without secrets
  address     text NOT NULL,
  request_id  text NOT NULL,
  outcome     text NOT NULL                 -- begun, done, or the name of the refusal
);
CREATE INDEX audit_tenant ON control.audit (tenant_id, audit_id);

-- What was answered to a POST with an Idempotency-Key, for a day.
CREATE TABLE control.idempotency (
  caller      text COLLATE "C" NOT NULL,    -- the token's id
  key         text COLLATE "C" NOT NULL,
  digest      bytea NOT NULL,               -- SHA-256 of method, path and body
  status      int NOT NULL,                 -- 0: on its way
  content_type text NOT NULL,
  answer      bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  busy_until  timestamptz NOT NULL,         -- of what is on its way: afterwards its process is taken for dead
  PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_created ON control.idempotency (created_at);

-- What a tenant used on a day (UTC). It outlives the tenant, because it is what is billed.
CREATE TABLE control.usage_day (
  tenant_id       bigint NOT NULL,
  day             date NOT NULL,
  hostname        text COLLATE "C" NOT NULL,
  requests        bigint NOT NULL DEFAULT 0,
  egress_bytes    bigint NOT NULL DEFAULT 0,
  accounts        bigint NOT NULL DEFAULT 0, -- from here on: gauges, as they were when they were taken
  active_accounts bigint NOT NULL DEFAULT 0,
  records         bigint NOT NULL DEFAULT 0,
  record_bytes    bigint NOT NULL DEFAULT 0,
  blobs           bigint NOT NULL DEFAULT 0,
  blob_bytes      bigint NOT NULL DEFAULT 0,
  events          bigint NOT NULL DEFAULT 0,
  gauged_at       timestamptz,               -- null: not yet
  PRIMARY KEY (tenant_id, day)
);
CREATE INDEX usage_day_day ON control.usage_day (day, tenant_id);

-- The last batch that each process has added to usage_day, so that none is added twice.
CREATE TABLE control.usage_writer (
  writer      text COLLATE "C" PRIMARY KEY,
  batch       bigint NOT NULL,
  at          timestamptz NOT NULL
);

-- The days whose gauges are taken or being taken.
CREATE TABLE control.usage_gauge (
  day         date PRIMARY KEY,
  taker       text NOT NULL,
  busy_until  timestamptz NOT NULL,
  done_at     timestamptz
);

-- Quotas that tenants have reached, and when last.
CREATE TABLE control.quota_reached (
  tenant_id   bigint NOT NULL,
  quota       text COLLATE "C" NOT NULL,
  day         date NOT NULL,
  at          timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, quota)
);

-- +goose Down
DROP TABLE control.quota_reached;
DROP TABLE control.usage_gauge;
DROP TABLE control.usage_writer;
DROP TABLE control.usage_day;
DROP TABLE control.idempotency;
DROP TABLE control.audit;
DROP TABLE control.operator_token;

-- +goose Up
-- What certmagic keeps: accounts with authorities, keys, certificates, challenges that are being answered.
CREATE TABLE control.tls_item (
  item        text COLLATE "C" PRIMARY KEY,      -- a path, as certmagic names it
  sealed      bytea NOT NULL,        -- under the master key, bound to the path
  size        bigint NOT NULL,       -- before it was sealed
  modified_at timestamptz NOT NULL
);

-- Who does what only one may do at once. Whoever holds a lock says so again and again; one that is silent has lost it.
CREATE TABLE control.tls_lock (
  name       text PRIMARY KEY,
  holder     text NOT NULL,
  held_until timestamptz NOT NULL
);

-- One row for each certificate: that is wanted, that is there, that could not be had.
CREATE TABLE control.tls_name (
  subject       text COLLATE "C" PRIMARY KEY,    -- a hostname, or *.domain
  tenant_id     bigint NOT NULL,     -- who has its turn
  domain        text NOT NULL,       -- registered domain, by which authorities count
  state         smallint NOT NULL,   -- 0 wanted, 1 there, 2 failed, 3 given up, 4 removed
  wanted_at     timestamptz NOT NULL,
  due_at        timestamptz NOT NULL, -- when it is worked on next
  claimed_until timestamptz,         -- a process works on it
  attempts      integer NOT NULL DEFAULT 0, -- failed ones since the last that succeeded
  error         text NOT NULL DEFAULT '',
  forced        boolean NOT NULL DEFAULT false, -- an operator wants it renewed now
  serial        text NOT NULL DEFAULT '',
  issuer        text NOT NULL DEFAULT '',
  not_before    timestamptz,
  not_after     timestamptz,
  renew_at      timestamptz,
  changed_at    timestamptz NOT NULL -- when what is served under it changed last
);
CREATE INDEX tls_name_due ON control.tls_name (due_at);
CREATE INDEX tls_name_changed ON control.tls_name (changed_at);
CREATE INDEX tls_name_tenant ON control.tls_name (tenant_id);

-- Orders of the last days: authorities count them.
CREATE TABLE control.tls_order (
  ordered_at timestamptz NOT NULL,
  subject    text NOT NULL,
  tenant_id  bigint NOT NULL,
  domain     text NOT NULL,
  renewal    boolean NOT NULL,
  failed     boolean NOT NULL DEFAULT false,
  PRIMARY KEY (ordered_at, subject)
);
CREATE INDEX tls_order_domain ON control.tls_order (domain, ordered_at);

-- +goose Down
DROP TABLE control.tls_order;
DROP TABLE control.tls_name;
DROP TABLE control.tls_lock;
DROP TABLE control.tls_item;

-- +goose Up
-- The dashboard: second factors of operators, the browsers in which they are signed in, and the links that let them in
-- first. An operator is named by "token:" and a token's id, or by "tenant:", the tenant's number, ":" and a name.

CREATE TABLE control.operator_factor (
  who          text COLLATE "C" NOT NULL,
  factor_id    bytea NOT NULL,             -- of a passkey its credential id, of an app random
  kind         smallint NOT NULL,          -- 1 an app that shows codes, 2 a passkey
  name         text NOT NULL,
  sealed       bytea,                      -- of an app: its secret
  public_key   bytea,                      -- of a passkey, from here on
  aaguid       bytea,
  transports   text NOT NULL DEFAULT '',
  flags        smallint NOT NULL DEFAULT 0,
  counter      bigint NOT NULL,            -- the last step of an app that was used; what a passkey counts
  created_at   timestamptz NOT NULL,
  last_used_at timestamptz,
  PRIMARY KEY (who, factor_id)
);
CREATE UNIQUE INDEX operator_factor_id ON control.operator_factor (factor_id);

CREATE TABLE control.operator_session (
  session_hash bytea PRIMARY KEY,          -- SHA-256 of what the browser's cookie holds
  who          text COLLATE "C" NOT NULL,
  way          text COLLATE "C" NOT NULL,  -- app or passkey; link: only a second factor can be set up in it
  created_at   timestamptz NOT NULL,
  seen_at      timestamptz NOT NULL,
  ends_at      timestamptz NOT NULL,
  address      text NOT NULL,
  agent        text NOT NULL
);
CREATE INDEX operator_session_who ON control.operator_session (who, created_at);
CREATE INDEX operator_session_ends ON control.operator_session (ends_at);

CREATE TABLE control.operator_link (
  link_hash    bytea PRIMARY KEY,
  who          text COLLATE "C" NOT NULL,
  created_by   text NOT NULL,
  created_at   timestamptz NOT NULL,
  ends_at      timestamptz NOT NULL
);
CREATE INDEX operator_link_who ON control.operator_link (who);
CREATE INDEX operator_link_ends ON control.operator_link (ends_at);

-- Questions to passkeys that were answered, so that no answer counts twice.
CREATE TABLE control.operator_answer (
  digest       bytea PRIMARY KEY,
  ends_at      timestamptz NOT NULL
);
CREATE INDEX operator_answer_ends ON control.operator_answer (ends_at);

-- What the questions are signed with.
CREATE TABLE control.operator_secret (
  purpose      text COLLATE "C" PRIMARY KEY,
  sealed       bytea NOT NULL,
  created_at   timestamptz NOT NULL
);

-- +goose Down
DROP TABLE control.operator_secret;
DROP TABLE control.operator_answer;
DROP TABLE control.operator_link;
DROP TABLE control.operator_session;
DROP TABLE control.operator_factor;

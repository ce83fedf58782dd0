-- +goose Up
-- What is true of the whole deployment, whichever process or command speaks: one row, written at the first start, changed
-- by 'locus deployment set'. A process whose flags say otherwise refuses to work.
CREATE TABLE control.deployment (
  id          int PRIMARY KEY CHECK (id = 1),
  development boolean NOT NULL,           -- known passwords, loopback only: never what others use
  scheme      text NOT NULL CHECK (scheme IN ('http', 'https')),
  port        int NOT NULL CHECK (port BETWEEN 0 AND 65535), -- in public URLs; 0: the scheme's own
  plc_url     text NOT NULL,              -- '': the built-in directory of a development server
  changed_at  timestamptz NOT NULL
);

-- +goose Down
DROP TABLE control.deployment;

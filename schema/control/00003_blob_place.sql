-- +goose Up
-- The places that files are in, and the label that each carries: a folder or a bucket of the same name without it is
-- another one, or a disk that is not mounted. A place is the whole deployment's; tenants' blob_store names it.
CREATE TABLE control.blob_place (
  location    text COLLATE "C" PRIMARY KEY, -- data:, disk:/folder or s3://…, as in blob_store
  label       text COLLATE "C" NOT NULL,
  created_at  timestamptz NOT NULL          -- or taken for the right one by an operator
);

-- +goose Down
DROP TABLE control.blob_place;

-- +goose Up
-- Handles that a tenant's accounts have, or had, outside its own domains: whoever takes a name finds here who may have a
-- handle under it, without asking every tenant. It is written before the handle is set and never taken back, so the
-- tenant's schema has the last word.
CREATE TABLE control.handle_elsewhere (
  reversed   text COLLATE "C" NOT NULL,       -- the handle's letters from the last to the first: those under a domain lie together
  tenant_id  bigint NOT NULL REFERENCES control.tenant ON DELETE CASCADE,
  PRIMARY KEY (reversed, tenant_id)
);
CREATE INDEX handle_elsewhere_tenant ON control.handle_elsewhere (tenant_id);

-- The tenants of whom all such handles stand there. Others were made by older programs, or of an archive, and are read once.
CREATE TABLE control.handles_listed (
  tenant_id  bigint PRIMARY KEY REFERENCES control.tenant ON DELETE CASCADE
);

-- +goose Down
DROP TABLE control.handles_listed;
DROP TABLE control.handle_elsewhere;

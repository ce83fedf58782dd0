-- +goose Up
-- What is known of a tenant that is suspended, or that is being deleted: no row, neither.
CREATE TABLE control.tenant_life (
  tenant_id      bigint PRIMARY KEY REFERENCES control.tenant ON DELETE CASCADE,
  suspended_at   timestamptz,             -- null: it was not suspended when its deletion was asked for
  suspend_reason text NOT NULL DEFAULT '',
  deleted_at     timestamptz,             -- null: it is suspended only
  delete_reason  text NOT NULL DEFAULT '',
  purge_at       timestamptz              -- until then the deletion can be undone
);
CREATE INDEX tenant_life_purge ON control.tenant_life (purge_at) WHERE purge_at IS NOT NULL;

-- Names that a tenant had once (kind 4) stay its own and lead to it, until they are released.
ALTER TABLE control.hostname ADD COLUMN former_since timestamptz; -- null of a former name: its accounts' DIDs are still being changed

-- +goose Down
DELETE FROM control.hostname WHERE kind = 4;
ALTER TABLE control.hostname DROP COLUMN former_since;
DROP TABLE control.tenant_life;

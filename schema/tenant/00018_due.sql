-- +goose Up
-- What a relay was told is in control now. A tenant in another database than control's leaves it behind: its relays are told
-- once more.
-- +goose StatementBegin
DO $$
BEGIN
  IF to_regclass('control.crawler') IS NOT NULL THEN
    INSERT INTO control.crawler (tenant_id, url, told_seq, next_at, failures)
    SELECT t.tenant_id, c.url, c.told_seq, c.next_at, c.failures FROM pds_tenant.crawler c, control.tenant t
    WHERE t.schema_name = (
      SELECT n.nspname FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
      WHERE r.oid = 'pds_tenant.crawler'::regclass)
    ON CONFLICT (tenant_id, url) DO NOTHING;
  END IF;
END $$;
-- +goose StatementEnd
DROP TABLE pds_tenant.crawler;

-- +goose Down
CREATE TABLE pds_tenant.crawler (
  url         text COLLATE "C" PRIMARY KEY,
  told_seq    bigint NOT NULL,
  next_at     timestamptz NOT NULL,
  failures    int NOT NULL DEFAULT 0
);

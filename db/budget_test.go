package db_test

import (
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/jackc/pgx/v5"
)

// What a tenant without a single account may cost: there are thousands of them, and each relation is files on disk, rows
// of the catalogue and memory in every connection that touches it. docs/storage.md says how the tables came to be so
// few; a new one has to be worth its place here.
const (
	maxRelations = 66
	maxKilobytes = 595
	// citusKilobytes is for the coordinator of a cluster, which has no rows, and a trigger of Citus on each table.
	citusKilobytes = 600
)

// emptyTenant counts a schema's relations, TOAST tables and indexes included, and its bytes on disk: the relations' own,
// and the rows of the catalogue that describe them, and half as much again for the catalogue's indexes. (Forty tenants
// made the catalogue grow by 500 kB each when this said 510.)
const emptyTenant = `
WITH c AS (
  SELECT c.oid, c.relkind, c.reltype FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1
), r AS (
  SELECT oid, relkind, reltype FROM c
  UNION ALL SELECT t.oid, t.relkind, t.reltype FROM c JOIN pg_class o ON o.oid = c.oid JOIN pg_class t ON t.oid = o.reltoastrelid
  UNION ALL SELECT i.indexrelid, 'i', 0 FROM c JOIN pg_class o ON o.oid = c.oid JOIN pg_index i ON i.indrelid = o.reltoastrelid
), k AS (
  SELECT k.oid FROM pg_constraint k WHERE k.conrelid IN (SELECT oid FROM r)
), t AS (
  SELECT t.oid FROM pg_type t WHERE t.oid IN (SELECT reltype FROM r WHERE reltype > 0) OR t.typelem IN (SELECT reltype FROM r WHERE reltype > 0)
), rows AS (
  SELECT pg_column_size(x.*) AS size FROM pg_class x WHERE x.oid IN (SELECT oid FROM r)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_attribute x WHERE x.attrelid IN (SELECT oid FROM r)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_attrdef x WHERE x.adrelid IN (SELECT oid FROM r)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_index x WHERE x.indexrelid IN (SELECT oid FROM r)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_constraint x WHERE x.oid IN (SELECT oid FROM k)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_trigger x WHERE x.tgrelid IN (SELECT oid FROM r)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_type x WHERE x.oid IN (SELECT oid FROM t)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_statistic x WHERE x.starelid IN (SELECT oid FROM r)
  UNION ALL SELECT pg_column_size(x.*) FROM pg_depend x WHERE x.objid IN (SELECT oid FROM r UNION ALL SELECT oid FROM k UNION ALL SELECT oid FROM t)
)
SELECT (SELECT count(*) FROM r), (SELECT sum(pg_total_relation_size(c.oid)) FROM c WHERE c.relkind = 'r')::bigint,
  (SELECT 1.5 * sum(24 + size) FROM rows)::bigint`

func TestEmptyTenantIsSmall(t *testing.T) {
	url := dbtest.URL(t)
	s := dbtest.Tenant(t, dbtest.Open(t, url))
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var relations, own, described int64
	if err := conn.QueryRow(t.Context(), emptyTenant, s.String()).Scan(&relations, &own, &described); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d relations, %d kB of their own, %d kB of the catalogue", relations, own/1024, described/1024)
	allowed := int64(maxKilobytes)
	if dbtest.Workers(url) != nil {
		allowed = citusKilobytes
	}
	if kilobytes := (own + described + 1023) / 1024; relations > maxRelations || kilobytes > allowed {
		t.Errorf("an empty tenant is %d relations and %d kB; %d and %d are allowed", relations, kilobytes, maxRelations, allowed)
	}
}

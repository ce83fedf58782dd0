package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// TestWaitForStandbyCanceled: a commit whose wait for the synchronous standby was cancelled is answered with success
// and a warning. Every way to commit says that its outcome is unknown, and Confirm that what can be read is not
// durable.
func TestWaitForStandbyCanceled(t *testing.T) {
	cluster := dbtest.NewCluster(t)
	d := dbtest.Open(t, cluster.URL())
	ctx := t.Context()
	if err := d.MigrateControl(ctx); err != nil {
		t.Fatal(err)
	}
	tenant := d.Tenant(dbtest.Tenant(t, d))
	cluster.WaitForSync(true)
	cluster.Sync.CutOff()
	ways := map[string]func(purpose string) error{
		"statement": func(purpose string) error { return tenant.Q().InsertSecret(ctx, secret(purpose)) },
		"row": func(string) error {
			_, err := tenant.Q().LockNextAID(ctx)
			return err
		},
		"rows": func(string) error {
			rows, err := db.RawTenant(tenant.Q()).Query(ctx, "UPDATE pds_tenant.stream_head SET next_aid = next_aid + 1 RETURNING next_aid")
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return rows.Err()
		},
		"transaction": func(purpose string) error {
			return tenant.Tx(ctx, func(q *tenantdb.Queries) error { return q.InsertSecret(ctx, secret(purpose)) })
		},
		"control": func(string) error {
			_, err := d.Control().LockNextCounter(ctx, "tenant_id")
			return err
		},
		"batch": func(purpose string) error {
			b := tenant.Batch()
			queueSecret(b, purpose)
			return b.Send(ctx)
		},
		"confirm": func(string) error { return tenant.Confirm(ctx) },
		"schema": func(string) error {
			s, err := db.ParseSchema("t_standby")
			if err != nil {
				return err
			}
			return d.CreateTenantSchema(ctx, s)
		},
	}
	for name, write := range ways {
		cluster.Eventually("nothing waits from before", func() bool {
			return cluster.Primary.Ask("SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "0"
		})
		done := make(chan error, 1)
		go func() { done <- write(name) }()
		cluster.Eventually(name+" waits for the standby", func() bool {
			return cluster.Primary.Ask("SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
		})
		cluster.Primary.Ask("SELECT coalesce(bool_and(pg_cancel_backend(pid)), false)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		if err := <-done; !errors.Is(err, db.ErrUnknownOutcome) || db.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tenant.Q().GetSecret(ctx, "transaction"); err != nil {
		t.Error("nothing to be in doubt about:", err)
	}
	cluster.WaitForSync(false) // the deployment asks for less
	if err := tenant.Confirm(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
	if err := tenant.Q().InsertSecret(ctx, secret("after")); err != nil {
		t.Error(err)
	}
}

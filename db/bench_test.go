package db_test

import (
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// BenchmarkRead is the price of the door: one key lookup through it, and through a bare pool.
func BenchmarkRead(b *testing.B) {
	url := dbtest.URL(b)
	d := dbtest.Open(b, url)
	s := dbtest.Tenant(b, d)
	b.Run("tenant", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Tenant(s).Q().GetLastSeq(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("batch", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			batch := d.Tenant(s).Batch()
			batch.Queue(tenantdb.GetLastSeq).Row(func(row pgx.Row) error { var n int64; return row.Scan(&n) })
			if err := batch.Send(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pool", func(b *testing.B) {
		pool, err := pgxpool.New(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		defer pool.Close()
		b.ReportAllocs()
		for b.Loop() {
			var n int64
			if err := pool.QueryRow(b.Context(), "SELECT last_seq FROM "+s.String()+".stream_head WHERE id = 1").Scan(&n); err != nil {
				b.Fatal(err)
			}
		}
	})
}

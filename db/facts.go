package db

import (
	"context"
	"time"
)

// Facts are settings of the control schema's server that matter here.
type Facts struct {
	Version           int32 // as server_version_num counts
	Fsync             string
	SynchronousCommit string
	FullPageWrites    string
	MaxConnections    int32
	LocksPerTx        int32
	Schemas           int32 // of tenants in this database that have their tables, spare ones and copies too: one table of each is counted
	Reserved          int32 // of MaxConnections, for superusers
	Used              int32 // connections that are open
	Clock             time.Time
}

const serverFacts = `SELECT current_setting('server_version_num')::int4, current_setting('fsync'), current_setting('synchronous_commit'),
  current_setting('full_page_writes'), current_setting('max_connections')::int4, current_setting('max_locks_per_transaction')::int4, current_setting('superuser_reserved_connections')::int4,
  (SELECT count(*) FROM pg_class WHERE relname = 'stream_head' AND relkind = 'r')::int4, (SELECT sum(numbackends) FROM pg_stat_database)::int4, clock_timestamp()`

// ServerFacts asks the control schema's server about itself.
func (d *DB) ServerFacts(ctx context.Context) (f Facts, err error) {
	err = runner{pool: d.control}.QueryRow(ctx, serverFacts).Scan(&f.Version, &f.Fsync, &f.SynchronousCommit, &f.FullPageWrites, &f.MaxConnections, &f.LocksPerTx, &f.Reserved, &f.Schemas, &f.Used, &f.Clock)
	return f, err
}

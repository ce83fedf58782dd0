package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// bouncer is a server behind PgBouncer in transaction mode: what a session was told is gone with the transaction, and
// start-up parameters beyond the known few are refused. So each transaction says itself what must be true of it.
type bouncer struct {
	server *pgx.ConnConfig

	mu    sync.Mutex
	known bool
	// prepared: PgBouncer keeps the prepared statements of its clients (max_prepared_statements), so they can be used.
	prepared bool
	// database is the name that the server has for it.
	database string
	// timeout is the server's own statement_timeout; 0 is none.
	timeout time.Duration
}

func newBouncer(server *pgx.ConnConfig) *bouncer { return &bouncer{server: server.Copy()} }

// connecting sets how a new connection runs its statements: a pool's BeforeConnect.
func (b *bouncer) connecting(statements int) func(context.Context, *pgx.ConnConfig) error {
	return func(ctx context.Context, c *pgx.ConnConfig) error {
		if err := b.look(ctx); err != nil {
			return err
		}
		if b.prepared {
			c.DefaultQueryExecMode, c.StatementCacheCapacity = pgx.QueryExecModeCacheStatement, statements
		}
		return nil
	}
}

// look finds out once what PgBouncer does.
func (b *bouncer) look(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, b.server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	b.prepared, b.timeout, err = probe(ctx, conn.PgConn())
	if err == nil {
		b.database, err = realName(ctx, conn)
	}
	if err != nil {
		return fmt.Errorf("ask PgBouncer: %w", err)
	}
	b.known = true
	return nil
}

// probeName is of the statement that tells whether PgBouncer keeps statements: it gives those that it keeps names of its
// own, and hands the others through as they are.
const probeName = "locus_probe"

func probe(ctx context.Context, c *pgconn.PgConn) (prepared bool, timeout time.Duration, err error) {
	p := c.StartPipeline(ctx) // one transaction, so one server
	p.SendPrepare(probeName, "SELECT 1", nil)
	p.SendQueryParams("SELECT count(*)::text, (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'statement_timeout') "+
		"FROM pg_catalog.pg_prepared_statements WHERE name = '"+probeName+"'", nil, nil, nil, nil)
	p.SendDeallocate(probeName)
	if err := p.Sync(); err != nil {
		return false, 0, errors.Join(err, p.Close())
	}
	var row [][]byte
	for {
		got, err := p.GetResults()
		if err != nil {
			return false, 0, errors.Join(err, p.Close())
		}
		switch r := got.(type) {
		case *pgconn.ResultReader:
			read := r.Read()
			if read.Err != nil || len(read.Rows) != 1 {
				return false, 0, errors.Join(fmt.Errorf("%d rows: %w", len(read.Rows), read.Err), p.Close())
			}
			row = read.Rows[0]
		case *pgconn.PipelineSync:
			ms, err := strconv.Atoi(string(row[1]))
			if err != nil {
				return false, 0, errors.Join(err, p.Close())
			}
			return string(row[0]) == "0", time.Duration(ms) * time.Millisecond, p.Close()
		}
	}
}

// bounds says whether the server ends statements by itself that take longer than that.
func (b *bouncer) bounds(limit time.Duration) bool {
	return limit == b.timeout || limit > 0 && b.timeout > 0 && b.timeout < limit
}

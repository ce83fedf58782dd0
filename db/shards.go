package db

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// Citus plans each statement on a distributed table by itself: some it refuses, and some it takes in parts, which it sends
// to all servers and commits in two phases. So on its worker a tenant's statements name the tables that Citus keeps the rows
// in, and Postgres alone plans them. These have the table's name with a number behind it, the same on every worker.
// locus_server.here, which stands before each statement, refuses what is left of them on a worker that the schema was moved
// from, and tells Citus that the program may write to them.

// shards are the tables of a schema's rows, by the names of its tables.
type shards struct {
	tables map[string]string
	at     time.Time // when they were read
}

const (
	shardsTime = 5 * time.Second // for reading them
	// shardsAgain is how long a table that has none is not asked for again: a schema that is behind lacks some.
	shardsAgain = time.Second
)

// shardsOf are a schema's, read if they are not known, or if they were read longer ago than old; 0: they need not be new.
func (d *DB) shardsOf(s Schema, old time.Duration) (*shards, error) {
	if known, ok := d.shards.Load(s.name); ok {
		if known := known.(*shards); old == 0 || time.Since(known.at) < old {
			return known, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), shardsTime)
	defer cancel()
	found := &shards{tables: map[string]string{}, at: time.Now()}
	// Every server of the cluster has the catalogue. The one of control is asked: it has a pool of its own, so whoever has
	// the last connection to the tenant does not wait for himself.
	rows, err := runner{pool: d.control}.Query(ctx, `SELECT c.relname::text, c.relname || '_' || h.shardid FROM pg_catalog.pg_dist_shard h
		JOIN pg_catalog.pg_class c ON c.oid = h.logicalrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1`, s.name)
	if err != nil {
		return nil, fmt.Errorf("tables of %s: %w", s, err)
	}
	var table, shard string
	if _, err := pgx.ForEachRow(rows, []any{&table, &shard}, func() error { found.tables[table] = shard; return nil }); err != nil {
		return nil, fmt.Errorf("tables of %s: %w", s, err)
	}
	d.shards.Store(s.name, found)
	return found, nil
}

var scopedTable = regexp.MustCompile(`\b(t_[a-z0-9_]+)\.([a-z_]+)`)

// onShards puts the tables of the rows into a text that names a schema's. One that names a table without, such as of a
// schema that is behind, stays as it is, for Citus to plan.
func (d *DB) onShards(s Schema, text string) (string, error) {
	for _, old := range []time.Duration{0, shardsAgain} {
		known, err := d.shardsOf(s, old)
		if err != nil {
			return "", err
		}
		whole := true
		done := scopedTable.ReplaceAllStringFunc(text, func(found string) string {
			name, table, _ := strings.Cut(found, ".")
			shard := known.tables[table]
			if whole = whole && (name != s.name || shard != ""); name != s.name || shard == "" {
				return found
			}
			return name + "." + shard
		})
		if whole {
			return done, nil
		}
	}
	return schema.StatementForCitus(text), nil
}

// reshard gives a text anew whose tables are not there any more: a restored tenant has others. It is the same if there is
// nothing new.
func (t *Tenant) reshard(text string) string {
	t.db.shards.Delete(t.schema.name)
	t.db.rewriter.anew(t.schema.name)
	logical := regexp.MustCompile(`\b(`+t.schema.name+`\.[a-z_]+)_[0-9]+\b`).ReplaceAllString(text, "$1")
	if done, err := t.db.onShards(t.schema, logical); err == nil {
		return done
	}
	return text
}

// resharded tells whether a statement may have found its tables gone because they are others now. at is nil where this
// process does not know the server.
func resharded(at *server, err error) bool {
	return at != nil && at.worker != "" && IsUndefined(err)
}

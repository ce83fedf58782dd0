package db

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Citus cluster with schema-based sharding keeps the tables of a tenant's schema whole on one worker, and only their
// names everywhere. What changes tables goes through the coordinator, which is the control schema's own database; rows are
// read and written on the worker, by a node of its own. Any worker answers for any schema, only slower: so whoever has not
// heard of a move yet does no harm.

var (
	// ErrNotCitus refuses what needs a Citus cluster.
	ErrNotCitus = errors.New("not a worker of the Citus cluster whose coordinator is the control database")
	// ErrNotPlaced means that Citus keeps a schema on another worker than the one that it should be on.
	ErrNotPlaced = errors.New("Citus keeps the schema on another worker")
)

// splitWorker is a worker's name and port in pg_dist_node.
func splitWorker(worker string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(worker)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || host == "" {
		return "", 0, fmt.Errorf("%w: %.100q is not HOST:PORT", ErrNotCitus, worker)
	}
	return host, port, nil
}

// checkWorker tells whether the database of a name is a worker of the cluster, under its name and port in the cluster's
// catalogue.
func (d *DB) checkWorker(ctx context.Context, name, worker string) error {
	host, port, err := splitWorker(worker)
	if err != nil {
		return err
	}
	home := runner{pool: d.home.admin}
	var group int
	var usable bool
	err = home.QueryRow(ctx, `SELECT groupid, metadatasynced AND isactive AND shouldhaveshards FROM pg_catalog.pg_dist_node
		WHERE nodename = $1 AND nodeport = $2 AND noderole = 'primary'`, host, port).Scan(&group, &usable)
	switch {
	case IsUndefined(err):
		return fmt.Errorf("%w: the control database has no extension citus", ErrNotCitus)
	case IsNoRows(err):
		return fmt.Errorf("%w: its catalogue has no primary %s (SELECT citus_add_node adds one)", ErrNotCitus, worker)
	case err != nil:
		return err
	case group == 0:
		return fmt.Errorf("%w: %s is the coordinator itself", ErrNotCitus, worker)
	case !usable:
		return fmt.Errorf("%w: %s is inactive, takes no shards, or has no metadata (start_metadata_sync_to_all_nodes)", ErrNotCitus, worker)
	}
	conn, where, err := d.dialNode(ctx, name)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var local int
	var same bool
	err = conn.QueryRow(ctx, `SELECT g.groupid, EXISTS (SELECT FROM pg_catalog.pg_dist_node n
		WHERE n.nodename = $1 AND n.nodeport = $2 AND n.groupid = g.groupid) FROM pg_catalog.pg_dist_local_group g`, host, port).Scan(&local, &same)
	if IsUndefined(err) || err == nil && (local != group || !same) {
		return fmt.Errorf("%w: %s is group %d of the cluster, and the URL of %s leads to another server", ErrNotCitus, worker, group, name)
	}
	if err != nil {
		return classify(fmt.Errorf("database %s: %w", where, err))
	}
	return nil
}

// HasWorker tells whether the cluster's catalogue has a server at an address.
func (d *DB) HasWorker(ctx context.Context, worker string) (there bool, err error) {
	host, port, err := splitWorker(worker)
	if err != nil {
		return false, err
	}
	err = runner{pool: d.home.admin}.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_node WHERE nodename = $1 AND nodeport = $2)", host, port).Scan(&there)
	return there, err
}

// LabelWorker makes sure that the database of a name is the worker of the cluster that it should be, and gives the label
// that the cluster carries, made if there is none: a table that Citus keeps on every server. It may be called again.
// Errors: [ErrNotCitus], [ErrNoNode], [ErrServer].
func (d *DB) LabelWorker(ctx context.Context, name, worker string) (label string, err error) {
	if err := d.checkWorker(ctx, name, worker); err != nil {
		return "", err
	}
	err = transact(ctx, d.home.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var shared bool
		for _, step := range []func() error{
			// A second process waits here, and finds it done.
			func() error { return do(ctx, tx, "SELECT pg_advisory_xact_lock(7120013)") },
			func() error {
				_, err := tx.Exec(ctx, unsharded+schema.Cluster+makeLabel, pgx.QueryExecModeSimpleProtocol)
				return err
			},
			func() error {
				return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition WHERE logicalrelid = 'control.node_label'::regclass)`).Scan(&shared)
			},
			func() error {
				if shared {
					return nil
				}
				return do(ctx, tx, "SELECT pg_catalog.create_reference_table('control.node_label')")
			},
			func() error {
				_, err := tx.Exec(ctx, writeLabel, rand.Text())
				return err
			},
			func() error { return tx.QueryRow(ctx, readLabel).Scan(&label) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil { // a worker that was added after the label has not got it yet
		_, err = runner{pool: d.home.admin}.Exec(ctx, "SELECT pg_catalog.replicate_reference_tables()")
	}
	if err != nil {
		return "", fmt.Errorf("label the Citus cluster: %w", classify(err))
	}
	return label, nil
}

// unsharded is put in front of what makes a schema that Citus is to leave alone; on a plain server it means nothing.
const unsharded = "SET LOCAL citus.enable_schema_based_sharding = off;\n"

// sharded is the script that makes a tenant's schema on a cluster. The schema is made as the coordinator's own and handed
// over whole: Citus refuses some of it in a schema that is distributed already.
func sharded(s Schema, script string) string {
	return unsharded + schema.Logged(script) + fmt.Sprintf(";\nSELECT pg_catalog.citus_schema_distribute('%s');\n", s.name)
}

// workers are the cluster's, in the order in which Citus counts them.
func (d *DB) workers(ctx context.Context) ([]string, error) {
	rows, err := runner{pool: d.home.admin}.Query(ctx, `SELECT nodename || ':' || nodeport FROM pg_catalog.pg_dist_node
		WHERE isactive AND shouldhaveshards AND noderole = 'primary' ORDER BY nodename COLLATE "C", nodeport`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// aim makes it likely that Citus puts the schema that is made next on a worker. Citus takes the number of the schema's
// group, which is the next one of a sequence, modulo the number of workers. What is said of it here may be wrong, with
// another version or another process in between: the schema is moved then, empty as it is.
func (d *DB) aim(ctx context.Context, worker string) {
	all, err := d.workers(ctx)
	want := slices.Index(all, worker)
	if err != nil || want < 0 {
		return
	}
	for range all {
		var last int64
		err := runner{pool: d.home.admin}.QueryRow(ctx, "SELECT last_value FROM pg_catalog.pg_dist_colocationid_seq").Scan(&last)
		if err != nil || int(last+1)%len(all) == want {
			return
		}
		if _, err := (runner{pool: d.home.admin}).Exec(ctx, "SELECT nextval('pg_catalog.pg_dist_colocationid_seq')"); err != nil {
			return // a login that may not
		}
	}
}

// placedOn is the worker that Citus keeps a schema on; "": the schema is not distributed.
func placedOn(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, name string) (worker string, err error) {
	err = q.QueryRow(ctx, `SELECT n.nodename || ':' || n.nodeport FROM pg_catalog.pg_dist_schema c
		JOIN pg_catalog.pg_namespace s ON s.oid = c.schemaid
		JOIN pg_catalog.pg_dist_partition t ON t.colocationid = c.colocationid
		JOIN pg_catalog.pg_dist_shard h ON h.logicalrelid = t.logicalrelid
		JOIN pg_catalog.pg_dist_placement p ON p.shardid = h.shardid
		JOIN pg_catalog.pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
		WHERE s.nspname = $1 LIMIT 1`, name).Scan(&worker)
	if IsNoRows(err) {
		return "", nil
	}
	return worker, err
}

// place brings a schema that nobody uses yet to a worker, if it is not there.
func (d *DB) place(ctx context.Context, s Schema, worker string) error {
	host, port, err := splitWorker(worker)
	if err != nil {
		return err
	}
	return transact(ctx, d.home.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// Who makes the same schema waits here, and finds it done: Citus would refuse.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", moveKey(s)); err != nil {
			return classify(err)
		}
		at, err := placedOn(ctx, tx, s.name)
		switch {
		case err != nil || at == worker:
			return err
		case at == "":
			return fmt.Errorf("%w: %s is not distributed, and should be on %s", ErrNotPlaced, s, worker)
		}
		_, err = tx.Exec(ctx, "SELECT pg_catalog.citus_schema_move($1::regnamespace, $2::text, $3::int, 'block_writes')", s.name, host, port)
		return classify(err)
	})
}

// isElsewhere tells that a worker has refused what is to happen where the rows are.
func isElsewhere(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == schema.ElsewhereCode
}

// unmoved runs what reads one moment of a schema on a worker. From another server Citus reads no one moment, so what was
// read counts only if the schema has not moved meanwhile. It is not held: a long read would hold up all who write.
func unmoved(ctx context.Context, conn *lease, tx pgx.Tx, read func() error) error {
	const ask = "SELECT locus_server.here($1, false)"
	var began, ended int64
	if err := tx.QueryRow(ctx, ask, conn.pool.tenant).Scan(&began); err != nil {
		return classify(err)
	}
	failed := read()
	if err := tx.Rollback(ctx); err != nil { // the transaction sees the catalogue as it was, too
		return errors.Join(failed, classify(err))
	}
	err := conn.pooled.QueryRow(ctx, ask, conn.pool.tenant).Scan(&ended)
	if err == nil && ended != began {
		err = ErrMoved
	}
	if isElsewhere(err) || errors.Is(err, ErrMoved) {
		return err // whatever was read
	}
	return errors.Join(failed, classify(err))
}

// onWorker tells whether a schema is on a worker of the cluster, if its node is known.
func (d *DB) onWorker(s Schema) (is, known bool) {
	at, known := d.fleet.Load().servers[s.Node()]
	return known && at.worker != "", known
}

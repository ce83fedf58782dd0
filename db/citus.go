package db

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// ErrNotCitus refuses what needs a Citus cluster.
var ErrNotCitus = errors.New("not a worker of the Citus cluster whose coordinator is the control database")

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

// CheckWorker tells whether the database of a name is a worker of the cluster, under its name and port in the cluster's
// catalogue. Errors: [ErrNotCitus], [ErrNoNode], [ErrServer].
func (d *DB) CheckWorker(ctx context.Context, name, worker string) error {
	host, port, err := splitWorker(worker)
	if err != nil {
		return err
	}
	home := runner{pool: d.home.admin}
	var group int
	var synced bool
	err = home.QueryRow(ctx, `SELECT groupid, metadatasynced AND isactive AND shouldhaveshards FROM pg_catalog.pg_dist_node
		WHERE nodename = $1 AND nodeport = $2 AND noderole = 'primary'`, host, port).Scan(&group, &synced)
	switch {
	case IsUndefined(err):
		return fmt.Errorf("%w: the control database has no extension citus", ErrNotCitus)
	case IsNoRows(err):
		return fmt.Errorf("%w: its catalogue has no active primary %s (SELECT citus_add_node adds one)", ErrNotCitus, worker)
	case err != nil:
		return err
	case !synced:
		return fmt.Errorf("%w: %s is inactive, takes no shards, or has no metadata (start_metadata_sync_to_all_nodes)", ErrNotCitus, worker)
	}
	conn, where, err := d.dialNode(ctx, name)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var local int
	err = conn.QueryRow(ctx, "SELECT groupid FROM pg_catalog.pg_dist_local_group").Scan(&local)
	if IsUndefined(err) || err == nil && local != group {
		return fmt.Errorf("%w: %s is group %d of the cluster, and the URL of %s leads to group %d", ErrNotCitus, worker, group, name, local)
	}
	if err != nil {
		return classify(fmt.Errorf("database %s: %w", where, err))
	}
	return nil
}

// sharded is put in front of the script that makes a tenant's schema on a coordinator: Citus then keeps it whole on one
// worker.
const sharded = "SET LOCAL citus.enable_schema_based_sharding = on;\n"

// place moves a schema to a worker of the cluster, if it is not there. Citus copies while it is written to, and holds
// writers up for the end of it only.
func (d *DB) place(ctx context.Context, s Schema, worker string) error {
	host, port, err := splitWorker(worker)
	if err != nil {
		return err
	}
	return transact(ctx, d.home.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, `SELECT bool_and(nodename = $2 AND nodeport = $3) FROM pg_catalog.citus_shards WHERE schema_name = $1::regnamespace`,
			s.name, host, port).Scan(&there)
		if err != nil || there {
			return err
		}
		_, err = tx.Exec(ctx, "SELECT pg_catalog.citus_schema_move($1::regnamespace, $2, $3)", s.name, host, port)
		return err
	})
}

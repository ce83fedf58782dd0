package db

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/jackc/pgx/v5"
)

var (
	// ErrWrongNode refuses a database that does not carry the label of the node it was named for. It comes with
	// ErrUnavailable: other tenants are served.
	ErrWrongNode = errors.New("this database is not the node's: its URL leads elsewhere")
	// ErrNodeTaken refuses a database that cannot become a node.
	ErrNodeTaken = errors.New("this database cannot be a new node")
)

// nodeName is what a node may be called: it stands in flags and environment variables before a '='.
var nodeName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// CheckNodeName tells whether a node can have that name.
func CheckNodeName(name string) error {
	if !nodeName.MatchString(name) {
		return fmt.Errorf("%.80q is no name of a node: up to 63 of a-z, 0-9, - and _, first a letter or digit", name)
	}
	return nil
}

// KnownNodes are the nodes that this process was told how to reach, as far as it has learnt.
func (d *DB) KnownNodes() []int32 { return slices.Sorted(maps.Keys(d.fleet.Load().servers)) }

// labels makes, and reads, what a node's database is known by. A database that was restored or promoted carries it on.
const (
	makeLabel = `
CREATE SCHEMA IF NOT EXISTS control;
CREATE TABLE IF NOT EXISTS control.node_label (
  id    int PRIMARY KEY CHECK (id = 1),
  label text COLLATE "C" NOT NULL
)`
	writeLabel = "INSERT INTO control.node_label (id, label) VALUES (1, $1) ON CONFLICT (id) DO NOTHING"
	readLabel  = "SELECT label FROM control.node_label WHERE id = 1"
)

// carries refuses a connection to a database that does not carry a label.
func carries(label string) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		var got string
		err := conn.QueryRow(ctx, readLabel).Scan(&got)
		if IsUndefined(err) || IsNoRows(err) || err == nil && got != label {
			return ErrWrongNode
		}
		return err
	}
}

// LabelNode makes sure that the database of a name can be a node, and gives the label that it carries, made if there is
// none. It may be called again. Errors: [ErrNoNode], [ErrNodeTaken], [ErrServer].
func (d *DB) LabelNode(ctx context.Context, name string) (label string, err error) {
	conn, where, err := d.dialNode(ctx, name)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var control bool
		var tenants int
		err := tx.QueryRow(ctx, `SELECT to_regclass('control.tenant') IS NOT NULL,
			(SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname ~ '^t_')::int`).Scan(&control, &tenants)
		switch {
		case err != nil:
			return err
		case control:
			return fmt.Errorf("%w: it has a control schema, so it is a deployment's own", ErrNodeTaken)
		}
		err = tx.QueryRow(ctx, "SELECT to_regclass('control.node_label') IS NOT NULL").Scan(&control)
		if err == nil && control {
			err = tx.QueryRow(ctx, readLabel).Scan(&label)
		}
		if err == nil && control {
			return nil
		}
		if err != nil && !IsNoRows(err) {
			return err
		}
		if tenants > 0 {
			return fmt.Errorf("%w: it has %d schemas named like tenants', and no label", ErrNodeTaken, tenants)
		}
		if _, err := tx.Exec(ctx, makeLabel); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, writeLabel, rand.Text()); err != nil {
			return err
		}
		return tx.QueryRow(ctx, readLabel).Scan(&label) // another process may have been first
	})
	if err != nil {
		return "", classify(fmt.Errorf("database %s: %w", where, err))
	}
	return label, nil
}

// UnlabelNode takes the label from a database that is a node no more, if it is this one and no tenant's schema is there.
func (d *DB) UnlabelNode(ctx context.Context, name, label string) error {
	conn, where, err := d.dialNode(ctx, name)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `DELETE FROM control.node_label WHERE label = $1
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname ~ '^t_')`, label)
	if err != nil && !IsUndefined(err) {
		return classify(fmt.Errorf("database %s: %w", where, err))
	}
	return nil
}

// dialNode connects to the database of a name, whether or not it is a node, and refuses a server that cannot be used.
func (d *DB) dialNode(ctx context.Context, name string) (_ *pgx.Conn, where string, err error) {
	cfg := d.cfg
	var ok bool
	if cfg.URL, ok = d.cfg.Nodes[name]; !ok {
		return nil, "", fmt.Errorf("%w: %w: no URL was given for %q", ErrUnavailable, ErrNoNode, name)
	}
	base, _, err := parse(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("node %s: %w", name, err)
	}
	base.ConnConfig.DialFunc = d.lines.dial
	where = describe(base.ConnConfig)
	conn, err := pgx.ConnectConfig(ctx, base.ConnConfig)
	if err != nil {
		return nil, where, classify(fmt.Errorf("database %s: %w", where, err))
	}
	if err := usable(ctx, conn); err != nil {
		conn.Close(ctx)
		return nil, where, classify(fmt.Errorf("database %s: %w", where, err))
	}
	return conn, where, nil
}

// NodeState is how a node's database is found.
type NodeState struct {
	Where   string // host, port and database
	Version string // of Postgres
	Bytes   int64  // of the database on disk
}

// LookAtNode asks the database of a node how it is. Errors: [ErrNoNode], [ErrWrongNode] and others that come with
// [ErrUnavailable].
func (d *DB) LookAtNode(ctx context.Context, node int32) (s NodeState, err error) {
	at, err := d.serverOf(Schema{node: node})
	if err != nil {
		return s, err
	}
	s.Where = at.where
	conn, err := d.connectNode(ctx, at)
	if err != nil {
		return s, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version'), pg_database_size(current_database())").Scan(&s.Version, &s.Bytes)
	if err != nil {
		return s, classify(fmt.Errorf("database %s: %w", at.where, err))
	}
	return s, nil
}

// connectNode makes a connection to a node beside its pools, and refuses a database that cannot be used.
func (d *DB) connectNode(ctx context.Context, at *server) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, at.streams.Config().ConnConfig)
	if err != nil {
		return nil, classify(fmt.Errorf("database %s: %w", at.where, err))
	}
	if err = usable(ctx, conn); err == nil && at.label != "" {
		err = carries(at.label)(ctx, conn)
	}
	if err != nil {
		conn.Close(ctx)
		if errors.Is(err, ErrWrongNode) {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, classify(fmt.Errorf("database %s: %w", at.where, err))
	}
	return conn, nil
}

// serverMark is how ListStreamNotes names a server, too.
const serverMark = `SELECT (left(pg_walfile_name(pg_current_wal_lsn()), 8) || ' ' || extract(epoch FROM pg_postmaster_start_time()))::text`

// ServerMark names the server that a node is at this moment: it is another one when it was started anew, or when a standby
// was promoted.
func (d *DB) ServerMark(ctx context.Context, node int32) (string, error) {
	at, err := d.serverOf(Schema{node: node})
	if err != nil {
		return "", err
	}
	var mark string
	if err := (runner{pool: at.background}).QueryRow(ctx, serverMark).Scan(&mark); err != nil {
		return "", err
	}
	return mark, nil
}

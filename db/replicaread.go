package db

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// lent is the runner of a replica, if the context lets one answer.
func (r runner) lent(ctx context.Context, sql string) (runner, *lag) {
	l, _ := ctx.Value(lagKey{}).(*lag)
	if l == nil || r.tx != nil || r.tenant == nil || l.over.Load() || l.schema.name != r.tenant.schema.name || !isRead(sql) {
		return r, nil
	}
	return runner{pool: l.replica.at.poolOf(l.schema), scope: r.scope}, l
}

// believed tells whether what came of asking a replica stands. If not the primary is asked, once, and for all that follows.
func (l *lag) believed(ctx context.Context, err error, promoted bool) bool {
	switch {
	case err == nil && !promoted:
		l.replica.reads.Add(1)
		return true
	case ctx.Err() != nil: // the caller's own end of patience
		return true
	}
	l.over.Store(true)
	if IsNoRows(err) {
		return false
	}
	l.replica.retried.Add(1)
	if promoted || isBroken(err) || errors.Is(err, ErrReplica) || errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrSlow) {
		l.replica.fresh.Store(0) // nobody tries before the watch has seen it again
	}
	return false
}

// row asks a replica for one row.
func (l *lag) row(ctx context.Context, r runner, sql string, args, dest []any) (answered bool, err error) {
	promoted := false
	err = r.single(ctx, sql, func(ctx context.Context, c *lease, sql string) error {
		err := c.QueryRow(ctx, sql, args...).Scan(dest...)
		promoted = isPromoted(c.Conn().PgConn())
		return err
	})
	return l.believed(ctx, err, promoted), err
}

// rows asks a replica for rows. All of them are there when it returns: with half of them nobody could ask the primary.
func (l *lag) rows(ctx context.Context, r runner, sql string, args []any) (_ pgx.Rows, answered bool, err error) {
	found, err := r.query(ctx, sql, args)
	if err != nil {
		return nil, l.believed(ctx, err, false), err
	}
	kept := &keptRows{rows: found}
	for found.Rows.Next() {
		raw := found.Rows.RawValues()
		row := make([][]byte, len(raw))
		for i, v := range raw {
			if v != nil {
				row[i] = append(make([]byte, 0, len(v)), v...)
			}
		}
		kept.all = append(kept.all, row)
	}
	err = found.explain(found.Rows.Err())
	promoted := isPromoted(found.conn.Conn().PgConn())
	if !l.believed(ctx, err, promoted) {
		found.Close()
		return nil, false, err
	}
	if err != nil {
		found.Close()
		return nil, true, err
	}
	return kept, true, nil
}

// keptRows are rows that were read to the end. They keep their connection until they are closed, for what it knows of types.
type keptRows struct {
	*rows
	all [][][]byte
	at  [][]byte
}

func (k *keptRows) Next() bool {
	if len(k.all) == 0 {
		k.Close()
		return false
	}
	k.at, k.all = k.all[0], k.all[1:]
	return true
}

func (k *keptRows) RawValues() [][]byte { return k.at }

func (k *keptRows) Scan(dest ...any) error {
	types := k.conn.Conn().TypeMap()
	for i, f := range k.FieldDescriptions() {
		if err := types.Scan(f.DataTypeOID, f.Format, k.at[i], dest[i]); err != nil {
			k.Close()
			return err
		}
	}
	return nil
}

// readTx runs body in a transaction on a replica.
func (l *lag) readTx(ctx context.Context, t *Tenant, body func(tx *ReadTx) error) (answered bool, err error) {
	at := l.replica.at
	first, cancel := context.WithTimeout(ctx, replicaPatience)
	conn, tx, err := begin(first, at.streams.of(l.schema), readOnly)
	cancel()
	if err != nil {
		return l.believed(ctx, err, false), err
	}
	promoted := isPromoted(conn.Conn().PgConn())
	if promoted {
		err = ErrReplica
	}
	err = t.inReadTx(ctx, at, conn, tx, func(tx *ReadTx) error {
		if err != nil {
			return err
		}
		return body(tx)
	})
	return l.believed(ctx, err, promoted), err
}

package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// A tenant's schema is carried to another server while it is written to. A copy grows there under a name of its own,
// NAME_arriving: first all rows, in pieces, then again and again those that changed meanwhile. At the end all tables of
// the source are locked against writers, the rest is copied, and the source's schema gets another name, NAME_moved, in the
// same transaction. From its commit on nobody can write to the source any more: whatever a process that has not heard of
// it sends fails with "does not exist", and is sent to the other server. Nothing is lost, whenever a process dies.
//
// Which rows changed is read off their xmin: those whose transaction is not older than the oldest that ran when the rows
// were copied last. Rows that went are found by counting. No table is known by name but the stream's head.

var (
	// ErrCarrying: another process works on the same schema. It comes with ErrUnavailable.
	ErrCarrying = fmt.Errorf("%w: another process carries this schema", ErrUnavailable)
	// ErrCarryChanged: the source was migrated or has begun another history since the copy was begun, so it must be made anew.
	ErrCarryChanged = errors.New("the schema's source has changed, so the copy has to be made anew")
	// ErrCarryDiffers: the copy is not the same as the source. This is a fault of the program or of a server.
	ErrCarryDiffers = errors.New("the copy differs from its source")
	// ErrFenced: the source was given up for the copy already.
	ErrFenced = errors.New("the schema has moved")
	// ErrNotFenced: the source is still the one that is written to.
	ErrNotFenced = errors.New("the schema has not moved")
	// ErrCarryBusy: writers could not be held up for as short a time as is allowed. It comes with ErrUnavailable.
	ErrCarryBusy = fmt.Errorf("%w: there was no moment without a long write", ErrUnavailable)
)

const (
	arrivingSuffix = "_arriving"
	movedSuffix    = "_moved"
	// carryChunk is how many rows are copied in one transaction at first: what a crash loses of the work.
	carryChunk = 20_000
	// lockTime is how long all locks together may be waited for. Writers that come meanwhile wait, too. It is less than
	// Postgres waits before it looks for a deadlock (1 s), so that none of them is ended.
	lockTime = 700 * time.Millisecond
	// lockTries is how often; between them writers go on.
	lockTries = 60
	// PauseTime bounds how long writers are held up for the last rows. It is less than StatementTimeout.
	PauseTime = 20 * time.Second
	// checkedRows is how many rows a table may have to be compared with its copy, row by row, while writers wait. Large ones
	// were compared the moment before, and rows may be large, too.
	checkedRows = 200
)

// Carry is one schema on its way.
type Carry struct {
	db       *DB
	id       string
	name     string
	from, to *server
	source   Schema
	copy     Schema
	now      func() time.Time
}

// Carry begins, or goes on with, bringing a schema to another node. id is what the copy is known by.
func (d *DB) Carry(id string, s Schema, to int32, now func() time.Time) (*Carry, error) {
	from, err := d.serverOf(s)
	if err != nil {
		return nil, err
	}
	copied, err := ParseSchema(s.name + arrivingSuffix)
	if err != nil {
		return nil, err
	}
	copied = copied.On(to)
	at, err := d.serverOf(copied)
	if err != nil {
		return nil, err
	}
	if from == at || from.worker != "" || at.worker != "" {
		return nil, fmt.Errorf("carry %s: node %d to node %d is not between two plain servers", s, s.Node(), to)
	}
	return &Carry{db: d, id: id, name: s.name, from: from, to: at, source: s, copy: copied, now: now}, nil
}

// Copy is the schema that is being made: nobody else uses it.
func (c *Carry) Copy() Schema { return c.copy }

func (c *Carry) moved() string { return c.name + movedSuffix }

// carried is what the copy knows of itself, in a table of its own.
type carried struct {
	ID       string               `json:"id"`
	Version  int64                `json:"version"`
	From, To string               // the servers' histories
	Tables   map[string]*carriage `json:"tables"`
	Refs     []reference          `json:"refs"` // made when the copy is complete
}

type carriage struct {
	Since string // no transaction before this one is missing
	At    string // the last key of those copied first, as SQL
	Whole bool
	Rows  *int64 `json:",omitempty"` // of the copy, since it was brought up to date for the first time
}

type reference struct{ Table, Name, Text string }

// history names what a server's log continues: another after a promotion.
const history = "SELECT system_identifier::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()"

// step is a piece of work in one transaction on each side. The source's is ended after the copy's is committed. With
// locked the source's transaction is the one that holds the lock and sees what is newest; it is given back open, and
// committed by done.
func (c *Carry) step(ctx context.Context, body func(src, dst pgx.Tx, st *carried) error) error {
	return c.guarded(ctx, func(pgx.Tx) error {
		return transact(ctx, c.from.admin, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(src pgx.Tx) error {
			if _, err := src.Exec(ctx, unhurried); err != nil {
				return err
			}
			return c.into(ctx, src, body)
		})
	})
}

// key is of the lock that keeps two processes from working on one move.
func (c *Carry) key() int64 { return moveKey(c.source) }

// guarded runs work while no other process works on the schema's move. The lock is the source's.
func (c *Carry) guarded(ctx context.Context, work func(lock pgx.Tx) error) error {
	return transactOnce(ctx, c.from.admin, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, unhurried); err != nil {
			return err
		}
		var got bool
		if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", c.key()).Scan(&got); err != nil {
			return classify(err)
		}
		if !got {
			return ErrCarrying
		}
		return work(tx)
	})
}

// into runs a piece of work that reads src and changes the copy.
func (c *Carry) into(ctx context.Context, src pgx.Tx, body func(src, dst pgx.Tx, st *carried) error) error {
	return transactOnce(ctx, c.to.admin, pgx.TxOptions{}, func(dst pgx.Tx) error {
		for _, tx := range []pgx.Tx{src, dst} {
			// Rows are compared as text.
			for _, set := range []string{"DateStyle = 'ISO'", "TimeZone = 'UTC'", "bytea_output = 'hex'", "extra_float_digits = 1"} {
				if _, err := tx.Exec(ctx, "SET LOCAL "+set); err != nil {
					return classify(err)
				}
			}
		}
		if _, err := dst.Exec(ctx, unhurried); err != nil {
			return classify(err)
		}
		st, err := c.read(ctx, dst)
		if err != nil {
			return err
		}
		var version int64
		var at [2]string
		err = src.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+c.name+"."+schema.VersionTable).Scan(&version)
		for i, tx := range []pgx.Tx{src, dst} {
			if err == nil {
				err = tx.QueryRow(ctx, history).Scan(&at[i])
			}
		}
		switch {
		case err != nil:
			return classify(err)
		case version != st.Version || at[0] != st.From || at[1] != st.To:
			return ErrCarryChanged
		}
		if err := body(src, dst, st); err != nil {
			return classify(err)
		}
		return c.write(ctx, dst, st)
	})
}

const stateTable = "arriving"

func (c *Carry) read(ctx context.Context, dst pgx.Tx) (*carried, error) {
	var raw []byte
	err := dst.QueryRow(ctx, "SELECT state FROM "+c.copy.name+"."+stateTable+" WHERE id = 1 FOR UPDATE").Scan(&raw)
	if IsUndefined(err) || IsNoRows(err) {
		return nil, ErrCarryChanged
	}
	if err != nil {
		return nil, classify(err)
	}
	st := &carried{}
	if err := json.Unmarshal(raw, st); err != nil {
		return nil, fmt.Errorf("state of %s: %w", c.copy, err)
	}
	if st.ID != c.id {
		return nil, ErrCarryChanged
	}
	return st, nil
}

func (c *Carry) write(ctx context.Context, dst pgx.Tx, st *carried) error {
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	_, err = dst.Exec(ctx, "INSERT INTO "+c.copy.name+"."+stateTable+" (id, state) VALUES (1, $1::jsonb) ON CONFLICT (id) DO UPDATE SET state = excluded.state", string(raw))
	return classify(err)
}

// Prepare makes the empty copy, unless the one that was begun can be gone on with. Errors: [ErrFenced], [ErrCarrying],
// [ErrSchemaMissing], [ErrTooNew].
func (c *Carry) Prepare(ctx context.Context) error {
	err := c.step(ctx, func(_, _ pgx.Tx, _ *carried) error { return nil })
	if !errors.Is(err, ErrCarryChanged) {
		return c.explain(ctx, err)
	}
	if err := c.db.MigrateTenant(ctx, c.source); err != nil {
		return c.explain(ctx, err)
	}
	return c.guarded(ctx, func(src pgx.Tx) error {
		if err := c.dropCopy(ctx); err != nil {
			return err
		}
		var taken bool
		r := runner{pool: c.to.admin}
		if err := r.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", c.name).Scan(&taken); err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("carry %s: node %d has a schema of that name already", c.name, c.to.node)
		}
		if _, err := src.Exec(ctx, "DROP SCHEMA IF EXISTS "+c.moved()+" CASCADE"); err != nil { // of an earlier move from here
			return classify(err)
		}
		st := &carried{ID: c.id, Tables: map[string]*carriage{}}
		var err error
		if st.Version, err = c.db.version(ctx, c.from, c.name); err != nil {
			return err
		}
		if err := src.QueryRow(ctx, history).Scan(&st.From); err != nil {
			return classify(err)
		}
		if st.Refs, err = c.references(ctx, src); err != nil {
			return err
		}
		if err := c.db.CreateTenantSchemaAt(ctx, c.copy, st.Version); err != nil {
			return err
		}
		return transactOnce(ctx, c.to.admin, pgx.TxOptions{}, func(dst pgx.Tx) error { return c.furnish(ctx, dst, st) })
	})
}

// furnish empties the copy, and takes away for the time being what ties its tables together: they arrive one by one.
func (c *Carry) furnish(ctx context.Context, dst pgx.Tx, st *carried) error {
	all, err := tables(ctx, dst, c.copy)
	if err != nil {
		return err
	}
	names := make([]string, len(all))
	for i, t := range all {
		if len(t.Key) == 0 {
			return fmt.Errorf("carry %s: table %s has no primary key", c.name, t.Name)
		}
		names[i] = pgx.Identifier{c.copy.name, t.Name}.Sanitize()
		st.Tables[t.Name] = &carriage{}
	}
	script := []string{"TRUNCATE " + strings.Join(names, ", ")}
	for _, r := range st.Refs {
		script = append(script, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", pgx.Identifier{c.copy.name, r.Table}.Sanitize(), pgx.Identifier{r.Name}.Sanitize()))
	}
	script = append(script, "CREATE TABLE "+c.copy.name+"."+stateTable+" (id int PRIMARY KEY, state jsonb NOT NULL)")
	for _, sql := range script {
		if _, err := dst.Exec(ctx, sql); err != nil {
			return classify(err)
		}
	}
	if err := dst.QueryRow(ctx, history).Scan(&st.To); err != nil {
		return classify(err)
	}
	return c.write(ctx, dst, st)
}

// references are the foreign keys of the source, as statements about the copy have them.
func (c *Carry) references(ctx context.Context, src pgx.Tx) ([]reference, error) {
	rows, err := src.Query(ctx, `SELECT r.relname, k.conname, pg_catalog.pg_get_constraintdef(k.oid)
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class r ON r.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
		WHERE n.nspname = $1 AND k.contype = 'f' ORDER BY 1, 2`, c.name)
	if err != nil {
		return nil, classify(err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r reference, err error) {
		err = row.Scan(&r.Table, &r.Name, &r.Text)
		r.Text = strings.ReplaceAll(r.Text, "REFERENCES "+c.name+".", "REFERENCES "+c.copy.name+".")
		return r, err
	})
}

// explain says of an error whether it comes of a move that was ended already.
func (c *Carry) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if fenced, asked := c.fenced(ctx); asked == nil && fenced {
		return ErrFenced
	}
	return err
}

// fenced tells whether the source was given up.
func (c *Carry) fenced(ctx context.Context) (bool, error) {
	var is bool
	err := runner{pool: c.from.admin}.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)
		AND EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = $2 AND pg_catalog.obj_description(n.oid, 'pg_namespace') = $3)`,
		c.name, c.moved(), c.note()).Scan(&is)
	return is, err
}

// note is what the source that was given up carries.
func (c *Carry) note() string { return "moved by " + c.id }

// dropCopy drops what is under the copy's name. No tenant is ever served under it.
func (c *Carry) dropCopy(ctx context.Context) error {
	return c.db.DropTenantSchema(ctx, c.copy)
}

// Abort takes back what was done. Errors: [ErrFenced] when it is too late, [ErrCarrying].
func (c *Carry) Abort(ctx context.Context) error {
	return c.guarded(ctx, func(pgx.Tx) error {
		fenced, err := c.fenced(ctx)
		if err != nil {
			return err
		}
		if fenced {
			return ErrFenced
		}
		return c.dropCopy(ctx)
	})
}

// pipe copies rows from one server to another.
func pipe(ctx context.Context, src, dst pgx.Tx, query, into string) (int64, error) {
	r, w := io.Pipe()
	sent := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, err := src.Conn().PgConn().CopyTo(ctx, w, "COPY ("+query+") TO STDOUT (FORMAT binary)")
		w.CloseWithError(err) // nil: the end
		sent <- err
	}()
	tag, err := dst.Conn().PgConn().CopyFrom(ctx, r, "COPY "+into+" FROM STDIN (FORMAT binary)")
	r.CloseWithError(errors.New("the copy has ended"))
	if sendErr := <-sent; sendErr != nil && (err == nil || !isStatementError(err)) {
		err = sendErr
	}
	if err != nil {
		return 0, classify(fmt.Errorf("copy into %s: %w", into, err))
	}
	return tag.RowsAffected(), nil
}

// keyColumns are the columns of a key, and their types.
func keyColumns(t Table) (names []string, types []string) {
	for _, k := range t.Key {
		i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == k })
		names = append(names, pgx.Identifier{k}.Sanitize())
		types = append(types, t.Columns[i].Type)
	}
	return names, types
}

// LeftBehind is the name of the copy that a schema leaves behind when it moves.
func LeftBehind(s Schema) string { return s.name + movedSuffix }
